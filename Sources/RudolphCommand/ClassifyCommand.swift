import ArgumentParser
import CommandSupport
import Rudolph

struct ClassifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "classify",
        abstract: "Choose which of some texts fits a picture best.",
        discussion: """
            Each class is a text in Russian, no training is needed. They are printed with their scores, best first; smaller is better: \
            the perplexity of the class's text, and the softmax of these perplexities. Only the central square of a picture is read.

            EXAMPLES
              rudolph classify photo.jpg кошка собака лошадь
              rudolph classify photo.jpg кот пёс --right-template "на картинке {}"
              rudolph classify photo.jpg день ночь --json
            """)

    @Argument(help: ArgumentHelp("A PNG or JPEG file; - reads standard input.", valueName: "image"), completion: .file())
    var image: String

    @Argument(help: ArgumentHelp("Classes.", valueName: "class"))
    var classes: [String]

    @Option(help: ArgumentHelp("The text before the picture, {} standing for a class.", valueName: "text"))
    var leftTemplate = ClassifyOptions().leftTemplate

    @Option(help: ArgumentHelp("The text after the picture, {} standing for a class.", valueName: "text"))
    var rightTemplate = ClassifyOptions().rightTemplate

    @Flag(help: "Print a JSON object: {\"image\": path, \"class\": text, \"classes\": [{\"class\": text, \"score\": s, ...}, ...]}.")
    var json = false

    @OptionGroup var sessionOptions: SessionOptions

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        for name in classes { try validateText("a class", name) }
        if let name = classes.indices.first(where: { classes[..<$0].contains(classes[$0]) }).map({ classes[$0] }) {
            throw ValidationError("the class \(name) is given more than once")
        }
        if !leftTemplate.contains("{}"), !rightTemplate.contains("{}") {
            throw ValidationError("neither --left-template nor --right-template holds {}; expected it where the class is to be")
        }
    }

    func run() throws {
        let model = try shared.openModel()
        let session = try shared.openSession(model, sessionOptions, for: .classes(classes.count))
        let progress = shared.progress()
        defer { progress.clear() }
        var options = ClassifyOptions()
        options.leftTemplate = leftTemplate
        options.rightTemplate = rightTemplate
        let configuration = model.configuration
        for name in classes {
            warnIfCut(leftTemplate, "the left text", name, length: configuration.leftTextLength, in: model)
            warnIfCut(rightTemplate, "the text", name, length: configuration.rightTextLength, in: model)
        }
        progress.show("encoding image")
        let picture = try readImage(image)
        let found = try naming(image) { () throws(RudolphError) in
            let tokens = try session.imageTokens(of: picture)
            session.releaseImageEncoder()
            return try Classifier(session).classify(tokens: tokens, as: classes, options, progress: progress.handler)
        }
        progress.clear()
        var writer = ResultWriter()
        if json {
            var object = JSONObject()
            object.set("image", image)
            if let best = found.first { object.set("class", best.name) }
            object.set("classes", found.map { entry in
                var member = JSONObject()
                member.set("class", entry.name)
                member.set("score", entry.score)
                member.set("perplexity", entry.perplexity)
                return member
            })
            writer.line(object.text)
        } else {
            for entry in found {
                let score = decimal(Double(entry.score), places: 4), perplexity = decimal(Double(entry.perplexity), places: 2)
                writer.line("\(entry.name): score \(score), perplexity \(perplexity)")
            }
        }
        try writer.flush()
    }

    /// Of a template that is the same for all classes is warned with the first.
    private func warnIfCut(_ template: String, _ what: String, _ name: String, length: Int, in model: Model) {
        let pieces = template.split(separator: "{}", omittingEmptySubsequences: false)
        if pieces.count == 1, name != classes.first { return }
        shared.warnIfCut(
            pieces.joined(separator: name), what: pieces.count == 1 ? what : "\(what) of \(name)", length: length, in: model)
    }
}
