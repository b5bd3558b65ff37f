import ArgumentParser
import CommandSupport
import Rudolph

struct RankCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rank",
        abstract: "Order pictures by how well a text describes them.",
        discussion: """
            Pictures are printed best first, each behind its score: the less, the better; near 0 for the best, about 1 in the middle. \
            A score compares pictures of one run, not of different ones. Only the central square of a picture is read.

            EXAMPLES
              rudolph rank "рыжий кот" *.png
              rudolph rank "рыжий кот" *.png --json | head -n 1
            """)

    @Argument(help: ArgumentHelp("A text in Russian.", valueName: "text"))
    var text: String

    @Argument(help: ArgumentHelp("PNG or JPEG files; - reads one picture from standard input.", valueName: "image"), completion: .file())
    var images: [String]

    @Flag(help: "Print one JSON object per picture: {\"image\": path, \"score\": s, \"text_perplexity\": p, \"image_perplexity\": p}.")
    var json = false

    @OptionGroup var sessionOptions: SessionOptions

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        try validateText("the text", text)
        try validateImages(images)
    }

    func run() throws {
        let model = try shared.openModel()
        let session = try shared.openSession(model, sessionOptions, for: .texts(1, isRanked: true))
        let progress = shared.progress()
        defer { progress.clear() }
        shared.warnIfCut(text, what: "the text", length: model.configuration.rightTextLength, in: model)
        var failures = FailureCount()
        var pictures: [[Int]] = []
        var paths: [String] = []
        for (index, path) in images.enumerated() {
            progress.show("encoding image \(index + 1)/\(images.count)")
            try failures.counting {
                defer { progress.clear() }
                let image = try readImage(path)
                let tokens = try naming(path) { () throws(RudolphError) in try session.imageTokens(of: image) }
                pictures.append(tokens)
                paths.append(path)
            }
        }
        session.releaseImageEncoder()
        if pictures.isEmpty { return try failures.exit() }
        let ranked = try running { () throws(RudolphError) in
            try Ranker(session).ranked(pictures, by: text, progress: progress.handler)
        }
        progress.clear()
        var writer = ResultWriter()
        for picture in ranked {
            let path = paths[picture.index]
            if json {
                var object = JSONObject()
                object.set("image", path)
                object.setScores(picture.score, text: picture.textPerplexity, image: picture.imagePerplexity)
                writer.line(object.text)
            } else {
                writer.line("\(decimal(Double(picture.score), places: 4)) \(path)")
            }
        }
        try writer.flush()
        try failures.exit()
    }
}
