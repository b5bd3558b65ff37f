import ArgumentParser
import CommandSupport
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
            printed: alone for one picture, as "path: caption" for several. Candidates are drawn with top-k 64, top-p 0.8 and \
            temperature 0.9 unless said otherwise. With --greedy there is one, made of the most probable tokens, always the same. Only \
            the central square of a picture is read.

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

    @Option(help: ArgumentHelp("Texts to draw (default: 48; with --greedy: 1).", valueName: "n"))
    var candidates: Int?

    @Option(help: ArgumentHelp(
        "Order the texts by how well they explain the picture (image), or by how often each came up (count), which takes no time "
            + "(default: image; with --greedy: count).", valueName: "image|count"))
    var rank: RankingName?

    @Option(help: ArgumentHelp("Tokens of a text at most, the template included (default: as many as the model's texts have).", valueName: "n"))
    var maxTokens: Int?

    @OptionGroup(title: "Sampling") var sampling: SamplingArguments

    @Flag(help: "Print all different texts, best first, with how often each was drawn.")
    var all = false

    @Flag(help: "Print one JSON object per picture: {\"image\": path, \"caption\": text, \"ids\": [...], ...}.")
    var json = false

    @OptionGroup var sessionOptions: SessionOptions

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        try validateImages(images)
        try validateCount("--candidates", candidates, atMost: Session.maximumCandidates)
        try validateCount("--max-tokens", maxTokens, atMost: 4096)
        if sampling.greedy, candidates ?? 1 != 1 { throw ValidationError("--greedy gives one caption: no --candidates") }
    }

    private var options: CaptionOptions {
        var options = sampling.greedy ? CaptionOptions.greedy : CaptionOptions()
        if let template { options.template = template }
        if let candidates { options.candidates = candidates }
        options.sampling = sampling.sampling(options.sampling)
        if let rank { options.ranking = rank == .image ? .image : .count }
        options.leftText = leftText
        options.maximumTokens = maxTokens
        return options
    }

    func run() throws {
        let model = try shared.openModel()
        var options = self.options
        let template = options.template ?? ""
        try shared.checkRoom(after: template, what: "--template", length: model.configuration.rightTextLength, in: model)
        try shared.checkMaximum(maxTokens, beginningWith: template, "of --template", in: model)
        let work = Work.texts(options.candidates, pictures: images.count, isRanked: options.ranking == .image)
        let session = try shared.openSession(model, sessionOptions, for: work)
        let captioner = Captioner(session)
        var writer = ResultWriter()
        var failures = FailureCount()
        let progress = shared.progress()
        shared.warnIfCut(leftText, what: "the left text", length: model.configuration.leftTextLength, in: model)
        options.seed = shared.seed(sampling)
        for (index, path) in images.enumerated() {
            try failures.counting {
                defer { progress.clear() }
                progress.place = images.count == 1 ? "" : "[\(index + 1)/\(images.count)] \(path): "
                progress.show("encoding image")
                let image = try readImage(path)
                let line = GrowingLine(images.count == 1 ? "" : "\(path): ", if: options.candidates == 1 && !json, progress)
                defer { line.end() }
                let captions = try naming(path) { () throws(RudolphError) in
                    let tokens = try session.imageTokens(of: image)
                    // The transformer needs the memory.
                    session.releaseImageEncoder()
                    return try captioner.captions(tokens: tokens, options, partial: line.handler, progress: progress.handler)
                }
                progress.clear()
                guard let best = captions.first else { throw CommandError("\(path): the model gave no text") }
                if json {
                    writer.line(object(path, best, captions, options.seed).text)
                } else {
                    writer.line(try line.rest(of: best.text))
                    if all { writer.lines(of: captions, of: options.candidates) }
                }
                try writer.flush()
            }
        }
        try failures.exit()
    }

    private func object(_ path: String, _ best: Caption, _ captions: [Caption], _ seed: UInt64?) -> JSONObject {
        var object = JSONObject()
        object.set("image", path)
        object.set("caption", best.text)
        best.describe(in: &object)
        object.set(seed: seed)
        if all { object.set(candidates: captions) }
        return object
    }
}
