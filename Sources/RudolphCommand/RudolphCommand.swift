import ArgumentParser
import CommandSupport
import Rudolph

@main
struct RudolphCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rudolph",
        abstract: "RUDOLPH, a Russian text-image-text model, on small machines.",
        discussion: """
            Results go to standard output, everything else to standard error. Control characters in names and texts are shown as \\u{1b}; \
            JSON has them as it writes them. The exit code is 0 when all went well, 1 when an input was bad (the good ones are still \
            answered), 64 when the command line was, and 130 after Ctrl-C.

            The model is the file of --model, else the one that the environment variable RUDOLPH_MODEL names, else the small \
            demonstration model that comes with the program.

            EXAMPLES
              rudolph caption photo.jpg                what is in a picture
              rudolph caption *.png --greedy --json    in many, a JSON object for each
              rudolph draw "кот в очках" -o cat.png    a picture of a text
              rudolph ask photo.jpg "что это?"         an answer about a picture
              rudolph classify photo.jpg кошка собака  which of some classes
              rudolph complete "Из окна открывался"    a text continued
              rudolph info my-model.gguf               what a model file holds and needs
              rudolph tokenize "рыжий кот" --json      a text as the model sees it
            """,
        version: rudolphVersion,
        subcommands: [
            CaptionCommand.self, DrawCommand.self, AskCommand.self, ClassifyCommand.self, CompleteCommand.self, RankCommand.self,
            AnswerCommand.self, InfoCommand.self, MasksCommand.self, TokenizeCommand.self, EncodeCommand.self, DecodeCommand.self,
            LogitsCommand.self,
        ])

    /// As `ParsableCommand.main`, but arguments that are not UTF-8 are refused rather than silently repaired.
    static func main() {
        prepareProcess()
        do {
            var command = try parseAsRoot(try utf8Arguments(advice: "a picture can be piped in: rudolph caption - < FILE"))
            try command.run()
        } catch {
            exit(withError: error)
        }
    }
}
