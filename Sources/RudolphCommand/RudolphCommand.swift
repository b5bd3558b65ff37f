import ArgumentParser

@main
struct RudolphCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rudolph",
        abstract: "RUDOLPH, a Russian text-image-text model, on small machines.",
        discussion: """
            Results go to standard output, everything else to standard error. The exit code is 0 when all went well, 1 when an input \
            was bad (the good ones are still answered) and 64 when the command line was.

            The model is the file of --model, else the one that the environment variable RUDOLPH_MODEL names, else the small \
            demonstration model that comes with the program.

            EXAMPLES
              rudolph caption photo.jpg                what is in a picture
              rudolph caption *.png --greedy --json    in many, a JSON object for each
              rudolph info my-model.gguf               what a model file holds and needs
              rudolph tokenize "рыжий кот" --json      a text as the model sees it
            """,
        subcommands: [CaptionCommand.self, InfoCommand.self, TokenizeCommand.self, EncodeCommand.self, LogitsCommand.self])

    /// As `ParsableCommand.main`, but arguments that are not UTF-8 are refused rather than silently repaired.
    static func main() {
        dieQuietlyOnBrokenPipe()
        do {
            var command = try parseAsRoot(try utf8Arguments())
            try command.run()
        } catch {
            exit(withError: error)
        }
    }
}
