import ArgumentParser
import CommandSupport
import Converters
import Rudolph

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

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

    /// As `ParsableCommand.main`, but arguments that are not UTF-8 are refused rather than silently repaired.
    static func main() {
        prepareProcess()
        do {
            var command = try parseAsRoot(try utf8Arguments())
            try command.run()
        } catch {
            exit(withError: error)
        }
    }

    /// Lines of results, each whole.
    static func write(_ lines: [String]) throws(OutputError) {
        var writer = ResultWriter()
        for line in lines { writer.line(line) }
        try writer.flush()
    }

    /// Runs `work`, which gets a progress callback to hand on. An interrupt stops it at the next callback, so that it can clean up,
    /// and the exit code says so.
    static func withProgress<Result>(_ work: (@escaping (ConversionProgress) -> Bool) throws -> Result) throws -> Result {
        handleSignals([SIGINT, SIGTERM, SIGHUP]) { interrupt = $0 }
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
