import ArgumentParser
import CommandSupport
import ImageFiles
import Rudolph

struct DrawCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "draw",
        abstract: "Draw pictures from a text.",
        discussion: """
            One picture goes to the file of -o. Of several each gets a file of its own, with -1, -2, ... before the extension, and that \
            file shows them side by side. A name that ends in .jpg or .jpeg gives JPEG files, any other PNG. With --candidates more are drawn than \
            kept: those that explain the text best. Image tokens are drawn with top-k 768, top-p 0.99 and temperature 1 unless said \
            otherwise.

            Given --inpaint, a part of a picture is kept and the rest is drawn to fit: the borders of --keep, counted in tokens (8 \
            pixels each), or what is white in the picture of --keep-mask.

            EXAMPLES
              rudolph draw "кот в очках" -o cat.png
              rudolph draw "кот в очках" -n 4 -o cats.png --seed 1
              rudolph draw "кот в очках" -n 2 --candidates 16 -o best.png
              rudolph draw "кот в очках" --guided -o cat.png --preview
              rudolph draw "море" --inpaint photo.jpg --keep up=4,left=2 -o sea.png
              rudolph draw "шляпа" --inpaint cat.png --keep-mask mask.png -o hat.png
              rudolph draw "кошка" -o cat.png --json >> drawn.jsonl
              rudolph draw "кошка" -o - | display
            """)

    @Argument(help: ArgumentHelp("What to draw, in Russian.", valueName: "text"))
    var text: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The picture file to write; - is standard output, as PNG.", valueName: "file"),
        completion: .file())
    var output: String

    @Option(name: [.customShort("n"), .long], help: ArgumentHelp("Pictures to keep.", valueName: "n"))
    var count = 1

    @Option(help: ArgumentHelp("Pictures to draw, of which the best are kept (default: as many as are kept).", valueName: "n"))
    var candidates: Int?

    @Option(help: ArgumentHelp("Pictures to draw at the same time; each takes memory: see rudolph info --batch.", valueName: "n"))
    var batch = 8

    @OptionGroup(title: "Sampling") var sampling: SamplingArguments

    @Flag(help: "Classifier-free guidance with the reference's weight, 0.2.")
    var guided = false

    @Option(help: ArgumentHelp("Guidance with this weight of the other, empty prompt: 0 to 1.", valueName: "weight"))
    var guidance: Float?

    @Option(help: ArgumentHelp("What guidance mixes: probabilities, or logits before one softmax (default: probabilities).",
        valueName: "probabilities|logits"))
    var guidanceMode: MixingName?

    @Option(help: ArgumentHelp("A picture of which a part is kept.", valueName: "image"), completion: .file())
    var inpaint: String?

    @Option(help: ArgumentHelp("Borders to keep of it, in tokens: up, down, left, right, such as up=4,left=2.", valueName: "borders"))
    var keep: String?

    @Option(help: ArgumentHelp("A picture of the same size that is white where it is to be kept.", valueName: "image"),
        completion: .file())
    var keepMask: String?

    @Flag(help: "Encode each border by itself, so that nothing shines through of what is replaced.")
    var cropFirst = false

    @Flag(help: "Show the pictures in the terminal, the first of each batch while it is drawn.")
    var preview = false

    @Flag(help: "Print one JSON object per picture: {\"prompt\": text, \"file\": path, \"tokens\": [...], ...}.")
    var json = false

    @OptionGroup var sessionOptions: SessionOptions

    @OptionGroup var shared: SharedOptions

    private var isGuided: Bool { guided || guidance != nil || guidanceMode != nil }

    /// The most pictures in a contact sheet.
    private static let largestCount = 256

    func validate() throws {
        try validateText("the text to draw", text)
        try validateCount("--count", count, atMost: Self.largestCount)
        try validateCount("--candidates", candidates, atMost: Session.maximumCandidates)
        try validateCount("--batch", batch, atMost: Session.maximumBatch)
        if sampling.greedy, count > 1 || candidates ?? 1 > 1 { throw ValidationError("--greedy draws one picture: no -n and no --candidates") }
        if let candidates, candidates < count { throw ValidationError("--candidates is \(candidates); expected at least the \(count) of -n") }
        if let guidance, !(guidance >= 0 && guidance <= 1) { throw ValidationError("--guidance is \(guidance); expected 0 to 1") }
        if inpaint == nil, keep != nil || keepMask != nil || cropFirst {
            throw ValidationError("--keep, --keep-mask and --crop-first say what to keep of a picture; expected --inpaint with it")
        }
        if inpaint != nil, (keep == nil) == (keepMask == nil) { throw ValidationError("--inpaint takes either --keep or --keep-mask") }
        if cropFirst, keep == nil { throw ValidationError("--crop-first encodes borders; expected --keep") }
        if inpaint == "-", keepMask == "-" { throw ValidationError("- is given more than once; standard input holds one picture") }
        if let keep { _ = try borders(keep) }
        try validatePictureOutput(output, count: count, json: json)
    }

    func run() throws {
        try checkPictures(path: output, count: count)
        let model = try shared.openModel()
        try model.requireImageDecoder()
        let sequences = min(batch, candidates ?? count) * (isGuided ? 2 : 1)
        let work = Work.drawings(sequences, isShown: preview, isRanked: candidates ?? count > count)
        let session = try shared.openSession(model, sessionOptions, for: work)
        let progress = shared.progress()
        defer { progress.clear() }
        shared.warnIfCut(text, what: "the text", length: model.configuration.leftTextLength, in: model)

        var options = DrawOptions()
        options.count = count
        options.candidates = candidates
        options.batch = batch
        options.sampling = sampling.sampling(.image)
        options.seed = shared.seed(sampling)
        if isGuided {
            options.guidance = Guidance(weight: guidance ?? 0.2, mixing: guidanceMode == .logits ? .logits : .probabilities)
        }
        if let inpaint {
            progress.show("encoding image")
            options.prompt = try prompt(inpaint, session)
            session.releaseImageEncoder()
        }
        let shown = preview ? Preview(session, progress) : nil
        let drawings = try running { () throws(RudolphError) in
            try Drawer(session).draw(text, options, partial: shown.map { shown in { shown.showPartial($1) } }, progress: progress.handler)
        }
        progress.show("decoding")
        let pictures = try drawings.map { drawing in
            try Picture(try running { () throws(RudolphError) in try session.image(of: drawing.tokens) })
        }
        try checkInterruption()
        let paths = try writePictures(pictures, path: output)
        if let shown { try show(pictures, shown) }
        progress.clear()

        var writer = ResultWriter()
        if json {
            for (drawing, path) in zip(drawings, paths) { writer.line(drawing.object(prompt: text, file: path, seed: options.seed).text) }
        } else {
            for path in paths { writer.line(path) }
        }
        try writer.flush()
    }

    private func prompt(_ path: String, _ session: Session) throws -> ImagePrompt {
        let image = try readImage(path)
        if let keepMask {
            let mask = try readImage(keepMask)
            return try naming(keepMask) { () throws(RudolphError) in try ImagePrompt(image, keepingWhiteOf: mask, in: session) }
        }
        let borders = try borders(keep ?? "")
        return try naming("--keep") { () throws(RudolphError) in
            try ImagePrompt(image, keeping: borders, encoding: cropFirst ? .borders : .whole, in: session)
        }
    }

    private func borders(_ text: String) throws -> ImagePrompt.Borders {
        var borders = ImagePrompt.Borders()
        var seen: Set<Substring> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, let count = Int(pair[1]), count >= 0, seen.insert(pair[0]).inserted else { throw badBorders(text) }
            switch pair[0] {
            case "up": borders.up = count
            case "down": borders.down = count
            case "left": borders.left = count
            case "right": borders.right = count
            default: throw badBorders(text)
            }
        }
        return borders
    }

    private func badBorders(_ text: String) -> ValidationError {
        ValidationError("--keep is \"\(text)\"; expected sides and numbers of tokens, each side at most once: up=4,down=0,left=2,right=0")
    }
}

enum MixingName: String, ExpressibleByArgument, CaseIterable {
    case probabilities, logits
}

/// Shows one picture, or several side by side.
func show(_ pictures: [Picture], _ preview: Preview) throws {
    preview.show(try RGBImage(pictures.count == 1 ? pictures[0] : try contactSheet(pictures)))
}

extension Drawing {
    func object(prompt: String, file: String, seed: UInt64?) -> JSONObject {
        var object = JSONObject()
        object.set("prompt", prompt)
        object.set("file", file)
        object.set("tokens", tokens)
        object.setScores(score, text: textPerplexity, image: imagePerplexity)
        object.set(seed: seed)
        return object
    }
}
