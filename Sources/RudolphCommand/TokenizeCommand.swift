import ArgumentParser
import CommandSupport
import Rudolph

struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize",
        abstract: "Print the token ids and pieces of texts.",
        discussion: """
            Texts are taken as they are; the tasks lower-case and strip theirs first. Each piece is printed on a line of its own \
            behind its id, with an empty line between texts. A piece that begins a word begins with ▁; what the model does not know \
            (id 1) is printed as it is in the text.

            EXAMPLES
              rudolph tokenize "рыжий кот"
              rudolph tokenize "рыжий кот" "белая ворона" --json
              rudolph tokenize --input texts.jsonl --json    lines of {"text": "..."}
            """)

    @Argument(help: ArgumentHelp("Texts in UTF-8.", valueName: "text"))
    var texts: [String] = []

    @Option(help: ArgumentHelp("A file with a JSON object {\"text\": \"...\"} on each line; - reads standard input.", valueName: "file"),
        completion: .file(extensions: ["jsonl"]))
    var input: String?

    @Flag(help: "Print one JSON object per text: {\"text\": ..., \"ids\": [...], \"pieces\": [...]}.")
    var json = false

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        if texts.isEmpty == (input == nil) { throw ValidationError("Expected either texts or --input.") }
    }

    func run() throws {
        let tokenizer = try shared.openModel().tokenizer
        var writer = ResultWriter()
        var isFirst = true
        func print(_ text: String) throws {
            let ids = tokenizer.encode(text), pieces = tokenizer.subwords(of: text)
            if json {
                var object = JSONObject()
                object.set("text", text)
                object.set("ids", ids)
                object.set("pieces", pieces)
                writer.line(object.text)
            } else {
                if !isFirst { writer.line("") }
                for (id, piece) in zip(ids, pieces) { writer.line("\(id)", piece) }
                isFirst = false
            }
            try writer.flush()
        }

        for text in texts { try print(text) }
        guard let input else { return }
        let (name, bytes) = try readInput(input)
        var failures = FailureCount()
        for (place, line) in lines(of: bytes, name: name) {
            try failures.counting { try print(try decodeText(line, place: place)) }
        }
        try failures.exit()
    }
}
