import ArgumentParser
import Converters
import Foundation
import Rudolph

@main
struct RudolphQuant: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rudolph-quant",
        abstract: "Convert a RUDOLPH checkpoint to one packed file.",
        discussion: """
            The packed file holds the transformer, the image tokenizer and the text tokenizer, and is used as it lies by the runtime on \
            x86-64 and ARM alike. Checkpoints are read without executing anything that is in them. For a published model:

              rudolph-quant --preset 350M --type int4 -o rudolph-350m-int4.gguf \\
                --transformer pytorch_model.bin --tokenizer bpe.model \\
                --vqgan vqgan.gumbelf8-sber.model.ckpt

            For all options of a conversion see rudolph-quant help convert.
            """,
        version: rudolphVersion,
        subcommands: [ConvertCommand.self, VerifyCommand.self, ExportCommand.self],
        defaultSubcommand: ConvertCommand.self)

    /// As `ParsableCommand.main`, but arguments that are not UTF-8 are refused rather than silently repaired: the repaired name would be
    /// another file's. A limit on the size of files (`ulimit -f`) is an error when a file is written, not the end before it is cleaned up.
    static func main() {
        signal(SIGXFSZ, SIG_IGN)
        do {
            var command = try parseAsRoot(try utf8Arguments())
            try command.run()
        } catch {
            exit(withError: error)
        }
    }

    /// A line of results. Unlike `print` it fails where nobody takes it, as on a full disk.
    static func write(_ line: String) throws {
        do {
            try FileHandle.standardOutput.write(contentsOf: Data((line + "\n").utf8))
        } catch {
            FileHandle.standardError.write(Data("Error: standard output: the results cannot be written\n".utf8))
            throw ExitCode(1)
        }
    }

    /// The command line after the program's name.
    private static func utf8Arguments() throws(ValidationError) -> [String] {
        var arguments: [String] = []
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let argument = CommandLine.unsafeArgv[index] else { break }
            guard let text = String(validatingCString: argument) else {
                throw ValidationError("argument \(index), \"\(printable(String(cString: argument)))\", is not UTF-8; expected UTF-8")
            }
            arguments.append(text)
        }
        return arguments
    }

    /// Runs `work`, which gets a progress callback to hand on. An interrupt stops it at the next callback, so that it can clean up,
    /// and the exit code says so. Signals that the parent has ignored (`nohup`) stay so.
    static func withProgress<Result>(_ work: (@escaping (ConversionProgress) -> Bool) throws -> Result) throws -> Result {
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            let previous = signal(number) { interrupt = $0 }
            if unsafeBitCast(previous, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
                signal(number, SIG_IGN)
                continue
            }
            sigaddset(&signals, number)
        }
        // A parent that starts programs from a thread with blocked signals hands those on.
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        var bar = ProgressBar()
        do {
            let result = try work { progress in
                bar.show(progress)
                return interrupt == 0
            }
            bar.clear()
            return result
        } catch {
            bar.clear()
            guard (error as? ConversionError) == .cancelled else { throw error }
            throw ExitCode(128 + interrupt)
        }
    }
}

/// The signal that asked to stop; written by the signal handler only.
private nonisolated(unsafe) var interrupt: Int32 = 0

/// The type of packed matrices on the command line: by its name, where the help would show a raw value.
struct WeightTypeName: ExpressibleByArgument {
    let type: WeightType

    init(_ type: WeightType) { self.type = type }

    init?(argument: String) {
        guard let type = WeightType(name: argument) else { return nil }
        self.type = type
    }

    var defaultValueDescription: String { type.name }
    static var allValueStrings: [String] { WeightType.allCases.map(\.name) }
    static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }
}
