import ArgumentParser
import CommandSupport
import ImageFiles
import Rudolph

struct EncodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encode",
        abstract: "Print the image tokens of pictures.",
        discussion: """
            A picture is turned upright, put on white, cut to its central square, resized and encoded to tokens, row by row.

            EXAMPLES
              rudolph encode photo.jpg
              rudolph encode *.png --json    {"image": path, "tokens": [...]} for each
            """)

    @Argument(help: ArgumentHelp("PNG or JPEG files; - reads one picture from standard input.", valueName: "image"), completion: .file())
    var images: [String]

    @Flag(help: "Print one JSON object per picture: {\"image\": path, \"tokens\": [...]}.")
    var json = false

    @Option(help: ArgumentHelp("Write the picture as the encoder sees it, a binary PPM file.", valueName: "file", visibility: .hidden))
    var preparedPixels: String?

    @OptionGroup var threadOptions: ThreadOptions

    @OptionGroup var imageOptions: ImageOptions

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        try validateImages(images)
        if preparedPixels != nil, images.count != 1 {
            throw ValidationError("--prepared-pixels takes one picture; found \(images.count)")
        }
    }

    func run() throws {
        let model = try shared.openModel()
        let session = try shared.openSession(
            model, threads: threadOptions.threads, imageArithmetic: imageOptions.imageArithmetic, for: .pictures)
        var writer = ResultWriter()
        var failures = FailureCount()
        for path in images {
            try failures.counting {
                let image = try readImage(path)
                if let preparedPixels { try writePrepared(image, side: model.configuration.imageSide, path: preparedPixels) }
                let tokens = try naming(path) { () throws(RudolphError) in try session.imageTokens(of: image) }
                if json {
                    var object = JSONObject()
                    object.set("image", path)
                    object.set("tokens", tokens)
                    writer.line(object.text)
                } else {
                    let list = tokens.map { "\($0)" }.joined(separator: " ")
                    writer.line(images.count == 1 ? list : "\(path): \(list)")
                }
                try writer.flush()
            }
        }
        try failures.exit()
    }

    private func writePrepared(_ image: RGBImage, side: Int, path: String) throws {
        let pixels = try ImagePreparation.prepare(image, side: side)
        try writeFiles([(Array("P6\n\(side) \(side)\n255\n".utf8) + pixels, path)])
    }
}
