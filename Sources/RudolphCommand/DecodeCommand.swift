import ArgumentParser
import CommandSupport
import ImageFiles
import Rudolph

struct DecodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode",
        abstract: "Turn image tokens back into pictures.",
        discussion: """
            Several pictures are written as rudolph draw writes them: each to a file of its own, and side by side.

            EXAMPLES
              rudolph decode --tokens tokens.json -o picture.png
              rudolph encode photo.jpg --json | rudolph decode --tokens - -o seen.png
              rudolph decode --tokens tokens.json -o - | display
            """)

    @Option(help: ArgumentHelp(
        "A JSON list of image tokens, row by row, or a line {\"tokens\": [...]} for each picture; - reads standard input.",
        valueName: "file"), completion: .file(extensions: ["json", "jsonl"]))
    var tokens: String

    @Option(name: .shortAndLong, help: ArgumentHelp("The picture file to write; - is standard output, as PNG.", valueName: "file"),
        completion: .file())
    var output: String

    @Flag(help: "Show the pictures in the terminal.")
    var preview = false

    @Flag(help: "Print one JSON object per picture: {\"file\": path, \"tokens\": [...]}.")
    var json = false

    @OptionGroup var threadOptions: ThreadOptions

    @OptionGroup var imageOptions: ImageOptions

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        try validatePictureOutput(output, json: json)
    }

    func run() throws {
        try checkPictures(path: output, count: 1)
        let (name, bytes) = try readInput(tokens)
        let pictures = try decodePictures(bytes, name: name)
        guard pictures.count <= 256 else { throw CommandError("\(name): \(pictures.count) pictures; expected at most 256") }
        try checkPictures(path: output, count: pictures.count)
        let model = try shared.openModel()
        try model.requireImageDecoder()
        let session = try shared.openSession(
            model, threads: threadOptions.threads, imageArithmetic: imageOptions.imageArithmetic, for: .pictures)
        let progress = shared.progress()
        defer { progress.clear() }
        var images: [Picture] = []
        for (index, picture) in pictures.enumerated() {
            progress.show("decoding \(index + 1)/\(pictures.count)")
            let image = try naming(picture.place) { () throws(RudolphError) in try session.image(of: picture.tokens) }
            images.append(try Picture(image))
        }
        try checkInterruption()
        let paths = try writePictures(images, path: output)
        if preview { try show(images, Preview(session, progress)) }
        progress.clear()
        var writer = ResultWriter()
        for (path, picture) in zip(paths, pictures) {
            if json {
                var object = JSONObject()
                object.set("file", path)
                object.set("tokens", picture.tokens)
                writer.line(object.text)
            } else {
                writer.line(path)
            }
        }
        try writer.flush()
    }
}
