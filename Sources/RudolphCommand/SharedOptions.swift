import ArgumentParser
import Rudolph

/// What every command takes.
struct SharedOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The model file (default: $RUDOLPH_MODEL, else the bundled demonstration model).", valueName: "file"),
        completion: .file(extensions: ["gguf"]))
    var model: String?

    @Option(help: ArgumentHelp("Threads to use (default: one for each core that the process may use).", valueName: "n"))
    var threads: Int?

    @Flag(help: "Say nothing on standard error but errors.")
    var quiet = false

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads is \(threads); expected 1 to 1024")
        }
    }

    /// Opens the chosen model; without --model, says on standard error which it is.
    func openModel() throws -> Model {
        let choice = try ModelChoice(option: model)
        if let reason = choice.reason, !quiet { note("model: \(choice.path) (\(reason))") }
        return try Model(path: choice.path)
    }

    /// A line for progress, where there is a terminal to see it.
    func progressLine() -> ProgressLine {
        ProgressLine(isShown: !quiet && standardErrorIsTerminal())
    }
}
