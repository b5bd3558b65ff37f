import ArgumentParser
import Converters

struct Convert: ParsableCommand {
    @Option var preset: String?
    @Option var config: String?
    @Option var transformer: String
    @Option var vqgan: String
    @Option var tokenizer: String
    @Option var type: String = "int4"
    @Option(name: .shortAndLong) var output: String
    func run() throws {
        let c = try config.map { try ModelConfiguration(file: $0) } ?? ModelConfiguration.preset(preset ?? "")!
        let r = try Conversion(transformer: transformer, imageTokenizer: vqgan, textTokenizer: tokenizer, configuration: c, type: WeightType(name: type)!).run(output: output)
        print(r)
    }
}
