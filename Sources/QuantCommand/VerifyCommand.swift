import ArgumentParser
import Converters
import Foundation

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
                for part in damage { try RudolphQuant.write("\(file): \(part)") }
                if damage.isEmpty { try RudolphQuant.write("\(file): whole") }
                isDamaged = isDamaged || !damage.isEmpty
            } catch let error as ConversionError {
                FileHandle.standardError.write(Data("Error: \(error)\n".utf8))
                isDamaged = true
            }
        }
        if isDamaged { throw ExitCode(1) }
    }
}
