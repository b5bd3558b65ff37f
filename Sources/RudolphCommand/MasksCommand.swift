import ArgumentParser
import CommandSupport
import ImageFiles
import Rudolph

struct MasksCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "masks",
        abstract: "Draw the attention masks of a model.",
        discussion: """
            From left to right: row, column, convolution, and the last layer's convolution. In each, a row is a position that looks and \
            a column one that is looked at, both from the left text through the image to the right text. Seen positions are violet where \
            the looking one is text and green where it is an image token; what is not seen is white, light grey where it is an image token.

            EXAMPLES
              rudolph masks -o masks.png                   the default model's
              rudolph masks --preset 350M -o masks.png     without any model file
            """)

    @Option(name: .shortAndLong, help: ArgumentHelp("The picture file to write; - is standard output, as PNG.", valueName: "file"),
        completion: .file())
    var output: String

    @Option(help: ArgumentHelp("A published shape instead of a model file's: 350M, 1.3B or 2.7B.", valueName: "name"))
    var preset: ShapePreset?

    @Flag(help: "Show the picture in the terminal.")
    var preview = false

    @Flag(help: "Print a JSON object: {\"file\": path, \"positions\": n, \"masks\": [names], \"seen\": [pairs of positions]}.")
    var json = false

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        if preset != nil, shared.model != nil { throw ValidationError("--preset needs no model; found --model as well") }
        try validatePictureOutput(output, json: json)
    }

    func run() throws {
        try checkPictures(path: output, count: 1)
        let shape = try preset?.shape ?? MaskShape(try shared.openModel().configuration)
        let drawing = shape.draw()
        let picture = try Picture(width: drawing.width, height: drawing.height, pixels: drawing.pixels)
        let paths = try writePictures([picture], path: output)
        if preview { writeToStandardError(TerminalPicture.forStandardError().render(try RGBImage(picture)).text) }
        var writer = ResultWriter()
        if json {
            var object = JSONObject()
            object.set("file", output)
            object.set("positions", shape.positions)
            object.set("masks", ["row", "column", "convolution \(shape.kernel)", "convolution \(shape.lastKernel)"])
            object.set("seen", drawing.seen)
            writer.line(object.text)
        } else {
            for path in paths { writer.line(path) }
        }
        try writer.flush()
    }
}

/// The published models.
enum ShapePreset: String, ExpressibleByArgument, CaseIterable {
    case small = "350M"
    case medium = "1.3B"
    case large = "2.7B"

    var shape: MaskShape {
        switch self {
        case .small: MaskShape(left: 64, side: 16, right: 64, kernel: 7, lastKernel: 9)
        case .medium: MaskShape(left: 128, side: 32, right: 128, kernel: 9, lastKernel: 11)
        case .large: MaskShape(left: 384, side: 24, right: 128, kernel: 7, lastKernel: 9)
        }
    }
}

/// What the masks of a model depend on.
struct MaskShape {
    let left, side, right, kernel, lastKernel: Int

    init(left: Int, side: Int, right: Int, kernel: Int, lastKernel: Int) {
        self.left = left
        self.side = side
        self.right = right
        self.kernel = kernel
        self.lastKernel = lastKernel
    }

    /// - Throws: for sequences whose picture would be too large.
    init(_ configuration: Configuration) throws(CommandError) {
        guard configuration.sequenceLength <= 4096 else {
            throw CommandError("a sequence of \(configuration.sequenceLength) positions; its masks are drawn up to 4096")
        }
        self.init(
            left: configuration.leftTextLength, side: configuration.imageTokensPerSide, right: configuration.rightTextLength,
            kernel: configuration.kernelSize, lastKernel: configuration.lastKernelSize)
    }

    var positions: Int { left + side * side + right }

    private typealias Colour = (UInt8, UInt8, UInt8)
    private static let background: Colour = (255, 255, 255)
    private static let unseenImage: Colour = (232, 232, 232)
    private static let seenByText: Colour = (94, 60, 153)
    private static let seenByImage: Colour = (27, 120, 55)
    private static let frame: Colour = (0, 0, 0)

    /// The four masks side by side, each in a frame, and how many pairs each lets through.
    func draw() -> (width: Int, height: Int, pixels: [UInt8], seen: [Int]) {
        let scale = max(1, 256 / positions)
        let size = positions * scale, gap = max(4, size / 32)
        let width = 4 * (size + 2) + 5 * gap, height = size + 2 + 2 * gap
        var pixels = [UInt8](repeating: 255, count: width * height * 3)
        func fill(_ x: Range<Int>, _ y: Range<Int>, _ colour: Colour) {
            for row in y {
                for column in x {
                    let index = 3 * (row * width + column)
                    (pixels[index], pixels[index + 1], pixels[index + 2]) = colour
                }
            }
        }
        let layout = AttentionLayout(leftTextLength: left, side: side)
        let image = left..<(left + side * side)
        let masks: [Mask] = [.row, .column, .window(kernel: kernel), .window(kernel: lastKernel)]
        var seen: [Int] = []
        for (index, mask) in masks.enumerated() {
            let originX = gap + index * (size + 2 + gap), originY = gap
            fill(originX..<(originX + size + 2), originY..<(originY + size + 2), Self.frame)
            var count = 0
            for query in 0..<positions {
                let isImage = image.contains(query)
                for key in 0..<positions {
                    let isSeen = key <= query && layout.sees(query: query, key: key, mask)
                    if isSeen { count += 1 }
                    let colour = isSeen
                        ? (isImage ? Self.seenByImage : Self.seenByText)
                        : (isImage || image.contains(key) ? Self.unseenImage : Self.background)
                    let x = originX + 1 + key * scale, y = originY + 1 + query * scale
                    fill(x..<(x + scale), y..<(y + scale), colour)
                }
            }
            seen.append(count)
        }
        return (width, height, pixels, seen)
    }
}
