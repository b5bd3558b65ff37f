import ArgumentParser
import CommandSupport
import Converters

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Compare packed files with the SHA-256 digests in them; name what is damaged.",
        discussion: "The exit code is 1 when a file is damaged or cannot be read.")

    @Argument(help: "Packed files.", completion: .file(extensions: ["gguf"]))
    var files: [String]

    func run() throws {
        var isDamaged = false
        for file in files {
            do {
                let damage = try RudolphQuant.withProgress { try Verification.run(path: file, progress: $0) }
                try RudolphQuant.write(damage.isEmpty ? ["\(file): whole"] : damage.map { "\(file): \($0)" })
                isDamaged = isDamaged || !damage.isEmpty
            } catch let error as ConversionError {
                note("Error: \(error)")
                isDamaged = true
            }
        }
        if isDamaged { throw ExitCode(1) }
    }
}
