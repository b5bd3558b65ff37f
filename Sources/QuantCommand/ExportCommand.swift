import ArgumentParser
import Converters
import Foundation

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a packed file's tensors as plain rows in standard GGUF types, for other tools.")

    @Argument(help: "A packed file.", completion: .file(extensions: ["gguf"]))
    var input: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The GGUF file to write.", valueName: "file"), completion: .file(extensions: ["gguf"]))
    var output: String

    @Option(help: "What packed matrices become.")
    var type: StandardType = .f16

    enum StandardType: String, ExpressibleByArgument, CaseIterable {
        case f32, f16
        case q8_0
    }

    func run() throws {
        let packed: WeightType =
            switch type {
            case .f32: .f32
            case .f16: .f16
            case .q8_0: .int8
            }
        let size = try RudolphQuant.withProgress {
            try Export.run(
                input: input, output: output, type: packed, threads: ProcessInfo.processInfo.activeProcessorCount, progress: $0)
        }
        print("\(output): \(size) bytes")
    }
}
