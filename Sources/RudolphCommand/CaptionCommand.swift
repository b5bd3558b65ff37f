import ArgumentParser
import Rudolph

enum RankingName: String, ExpressibleByArgument, CaseIterable {
    case image, count
}

struct CaptionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "caption",
        abstract: "Say in Russian what is in pictures.",
        discussion: """
            Several candidate texts are drawn, equal ones are counted, and the one that the model finds to fit the picture best is \
            printed: alone for one picture, as "path: caption" for several. With --greedy there is one candidate, made of the most \
            probable tokens, always the same.

            EXAMPLES
              rudolph caption photo.jpg
              rudolph caption photo.jpg --greedy          the quickest answer
              rudolph caption photo.jpg --template "на этом фото" --all --seed 1
              rudolph caption photo.jpg --rank count      the most frequent text
              rudolph caption *.png --greedy --json       a JSON object for each
              rpicam-still -n -o - | rudolph caption -    from a camera
            """)

    @Argument(help: ArgumentHelp("PNG or JPEG files; - reads one picture from standard input.", valueName: "image"), completion: .file())
    var images: [String]

    @Option(help: ArgumentHelp("What every caption begins with; \"\" for nothing (default: на картинке; with --greedy: nothing).",
        valueName: "text"))
    var template: String?

    @Option(help: ArgumentHelp("A question or instruction that the model reads before the picture.", valueName: "text"))
    var leftText = ""

    @Option(help: ArgumentHelp("Texts to draw (default: 48).", valueName: "n"))
    var candidates: Int?

    @Option(help: ArgumentHelp(
        "Order the texts by how well they explain the picture (image), or by how often each came up (count), which takes no time "
            + "(default: image; with --greedy: count).", valueName: "image|count"))
    var rank: RankingName?

    @Option(help: ArgumentHelp("Draw from the k most probable tokens; 0 takes all (default: 64).", valueName: "k"))
    var topK: Int?

    @Option(help: ArgumentHelp("Draw from the most probable tokens that together reach probability p (default: 0.8).", valueName: "p"))
    var topP: Float?

    @Option(help: ArgumentHelp("Below 1 for likelier, above 1 for more varied texts (default: 0.9).", valueName: "t"))
    var temperature: Float?

    @Flag(help: "One candidate, always the most probable token, no template unless --template is given.")
    var greedy = false

    @Option(help: ArgumentHelp("The same seed gives the same captions, on every machine (default: a random one).", valueName: "n"))
    var seed: UInt64?

    @Flag(help: "Print all different texts, best first, with how often each was drawn.")
    var all = false

    @Flag(help: "Print one JSON object per picture: {\"image\": path, \"caption\": text, \"ids\": [...], ...}.")
    var json = false

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        try validateImages(images)
        if let candidates, !(1...4096).contains(candidates) {
            throw ValidationError("--candidates is \(candidates); expected 1 to 4096")
        }
        if let topK, topK < 0 { throw ValidationError("--top-k is \(topK); expected 0 or more") }
        if let topP, !(topP >= 0 && topP <= 1) { throw ValidationError("--top-p is \(topP); expected 0 to 1") }
        if let temperature, !(temperature > 0 && temperature.isFinite) {
            throw ValidationError("--temperature is \(temperature); expected a number above 0")
        }
        if greedy, candidates ?? 1 != 1 || topK ?? 1 != 1 || topP != nil || temperature != nil {
            throw ValidationError("--greedy takes one candidate of the most probable tokens: no --candidates, --top-k, --top-p or --temperature")
        }
    }

    private var options: CaptionOptions {
        var options = greedy ? CaptionOptions.greedy : CaptionOptions()
        if let template { options.template = template }
        if let candidates { options.candidates = candidates }
        if let topK { options.sampling.topK = topK }
        if let topP { options.sampling.topP = topP }
        if let temperature { options.sampling.temperature = temperature }
        if let seed { options.seed = seed }
        if let rank { options.ranking = rank == .image ? .image : .count }
        options.leftText = leftText
        return options
    }

    func run() throws {
        let model = try shared.openModel()
        let session = try shared.openSession(model)
        let captioner = Captioner(session)
        let options = self.options
        var writer = ResultWriter()
        var failures = FailureCount()
        let progress = shared.progress()
        shared.warnIfCut(leftText, what: "the left text", length: model.configuration.leftTextLength, in: model)
        for (index, path) in images.enumerated() {
            try failures.counting {
                defer { progress.clear() }
                progress.place = images.count == 1 ? "" : "[\(index + 1)/\(images.count)] \(path): "
                progress.show("encoding image")
                let image = try readImage(path)
                let captions = try naming(path) { () throws(RudolphError) in
                    let tokens = try session.imageTokens(of: image)
                    // The transformer needs the memory.
                    session.releaseImageEncoder()
                    return try captioner.captions(ofTokens: tokens, options, progress: progress.handler)
                }
                progress.clear()
                guard let best = captions.first else { throw CommandError("\(path): the model gave no text") }
                if json {
                    writer.line(object(path, best, captions).text)
                } else {
                    writer.line(images.count == 1 ? best.text : "\(path): \(best.text)")
                    if all { for caption in captions { writer.line("  \(caption.count) of \(options.candidates): \(caption.text)") } }
                }
                try writer.flush()
            }
        }
        try failures.exit()
    }

    private func object(_ path: String, _ best: Caption, _ captions: [Caption]) -> JSONObject {
        var object = JSONObject()
        object.set("image", path)
        object.set("caption", best.text)
        describe(best, in: &object)
        if all {
            object.set("candidates", captions.map { caption in
                var entry = JSONObject()
                entry.set("text", caption.text)
                describe(caption, in: &entry)
                return entry
            })
        }
        return object
    }

    private func describe(_ caption: Caption, in object: inout JSONObject) {
        object.set("ids", caption.ids)
        object.set("count", caption.count)
        if let score = caption.score { object.set("score", score) }
        if let perplexity = caption.textPerplexity { object.set("text_perplexity", perplexity) }
        if let perplexity = caption.imagePerplexity { object.set("image_perplexity", perplexity) }
    }
}
