import ArgumentParser
import Converters
import Rudolph

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a packed file's tensors as plain rows in standard GGUF types, for other tools.")

    @Argument(help: "A packed file.", completion: .file(extensions: ["gguf"]))
    var input: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The GGUF file to write.", valueName: "file"), completion: .file(extensions: ["gguf"]))
    var output: String

    @Option(help: "What packed matrices become.")
    var type: Export.StandardType = .f16

    func run() throws {
        let report = try RudolphQuant.withProgress {
            try Export.run(input: input, output: output, type: type, threads: Session.defaultThreads, progress: $0)
        }
        let types = report.tensors.map { "\($0.count) tensors \($0.type)" }.joined(separator: ", ")
        try RudolphQuant.write(["\(output): \(report.fileSize) bytes, \(types)"])
    }
}

extension Export.StandardType: ExpressibleByArgument {}
