import Rudolph

/// Pictures in a terminal: by kitty's or the sixel protocol where the terminal is known for it, as half blocks elsewhere.
struct TerminalPicture {
    enum Style: Equatable {
        case kitty, sixel, blocks, blocks256
    }

    let style: Style
    /// Columns that a picture takes.
    let columns: Int
    /// Width and height of a character in pixels; nil where the terminal does not say.
    let cell: (width: Int, height: Int)?

    static func forStandardError() -> TerminalPicture {
        let terminal = standardErrorSize()
        let columns = min(64, max(8, (terminal?.columns ?? 80) - 1), max(8, 2 * ((terminal?.rows ?? 33) - 2)))
        return TerminalPicture(style: style(environmentVariable), columns: columns, cell: terminal?.cell)
    }

    /// - Parameter variable: the value of an environment variable.
    static func style(_ variable: (String) -> String?) -> Style {
        let terminal = variable("TERM") ?? "", program = variable("TERM_PROGRAM") ?? ""
        let hasColour = ["truecolor", "24bit"].contains(variable("COLORTERM") ?? "") || terminal.hasSuffix("-direct")
        // Multiplexers do not pass pictures on.
        if !terminal.hasPrefix("screen"), !terminal.hasPrefix("tmux") {
            if ["xterm-kitty", "xterm-ghostty"].contains(terminal) || ["ghostty", "WezTerm"].contains(program) { return .kitty }
            if terminal.contains("sixel") || ["foot", "foot-extra", "mlterm", "yaft-256color", "contour"].contains(terminal)
                || ["mintty", "iTerm.app", "contour"].contains(program) {
                return .sixel
            }
        }
        return hasColour ? .blocks : .blocks256
    }

    /// What to write for a picture, the line's end included, and the lines that it takes where that is known.
    func render(_ image: RGBImage) -> (text: String, rows: Int?) {
        // A character is about twice as high as wide.
        let rows = max(1, (columns * image.height / image.width + 1) / 2)
        switch style {
        case .kitty:
            return (Self.kitty(image, columns: columns, rows: rows), rows)
        case .sixel:
            let width = columns * (cell?.width ?? 8)
            let picture = Self.resized(image, width: width, height: max(1, width * image.height / image.width))
            return (Self.sixel(picture), cell.map { (picture.height + $0.height - 1) / $0.height })
        case .blocks, .blocks256:
            return (Self.blocks(Self.resized(image, width: columns, height: 2 * rows), isTrueColour: style == .blocks), rows)
        }
    }

    private struct Pixels {
        let width, height: Int
        var bytes: [UInt8]

        subscript(x: Int, y: Int) -> (red: Int, green: Int, blue: Int) {
            let index = 3 * (y * width + x)
            return (Int(bytes[index]), Int(bytes[index + 1]), Int(bytes[index + 2]))
        }
    }

    /// The mean of the pixels that each new one covers, or the nearest one.
    private static func resized(_ image: RGBImage, width: Int, height: Int) -> Pixels {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(width * height * 3)
        for y in 0..<height {
            let top = y * image.height / height, bottom = max(top + 1, (y + 1) * image.height / height)
            for x in 0..<width {
                let left = x * image.width / width, right = max(left + 1, (x + 1) * image.width / width)
                let count = (bottom - top) * (right - left)
                for channel in 0..<3 {
                    var sum = count / 2
                    for row in top..<bottom {
                        for column in left..<right { sum += Int(image.pixels[3 * (row * image.width + column) + channel]) }
                    }
                    bytes.append(UInt8(sum / count))
                }
            }
        }
        return Pixels(width: width, height: height, bytes: bytes)
    }

    private static func kitty(_ image: RGBImage, columns: Int, rows: Int) -> String {
        let data = base64(image.pixels)
        var text = ""
        var start = data.startIndex
        // Chunks of at most 4096 characters; q=2 keeps the terminal from answering.
        while start < data.endIndex {
            let end = data.index(start, offsetBy: 4096, limitedBy: data.endIndex) ?? data.endIndex
            let control = start == data.startIndex ? "a=T,f=24,s=\(image.width),v=\(image.height),c=\(columns),r=\(rows),q=2," : ""
            text += "\u{1b}_G\(control)m=\(end == data.endIndex ? 0 : 1);\(String(decoding: data[start..<end], as: UTF8.self))\u{1b}\\"
            start = end
        }
        return text + "\n"
    }

    private static func base64(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var value = 0
            for byte in group { value = value << 8 | Int(byte) }
            value <<= 8 * (3 - group.count)
            for digit in 0..<4 { text.append(digit <= group.count ? digits[value >> (18 - 6 * digit) & 63] : UInt8(ascii: "=")) }
        }
        return text
    }

    /// 252 colours, 6 x 7 x 6, with an ordered dither.
    private static func sixel(_ picture: Pixels) -> String {
        let levels = (red: 6, green: 7, blue: 6)
        let bayer = [0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5]
        func level(_ value: Int, _ count: Int, _ x: Int, _ y: Int) -> Int {
            min(count - 1, (value * (count - 1) * 16 + 255 * bayer[y % 4 * 4 + x % 4] + 127) / (255 * 16))
        }
        var text = "\u{1b}P0;1;0q\"1;1;\(picture.width);\(picture.height)"
        for red in 0..<levels.red {
            for green in 0..<levels.green {
                for blue in 0..<levels.blue {
                    let index = (red * levels.green + green) * levels.blue + blue
                    text += "#\(index);2;\(red * 100 / (levels.red - 1));\(green * 100 / (levels.green - 1));\(blue * 100 / (levels.blue - 1))"
                }
            }
        }
        for top in stride(from: 0, to: picture.height, by: 6) {
            var bits: [Int: [UInt8]] = [:]
            for y in top..<min(top + 6, picture.height) {
                for x in 0..<picture.width {
                    let pixel = picture[x, y]
                    let colour = (level(pixel.red, levels.red, x, y) * levels.green + level(pixel.green, levels.green, x, y)) * levels.blue
                        + level(pixel.blue, levels.blue, x, y)
                    bits[colour, default: [UInt8](repeating: 0, count: picture.width)][x] |= 1 << UInt8(y - top)
                }
            }
            for (colour, columns) in bits.sorted(by: { $0.key < $1.key }) {
                text += "#\(colour)"
                var start = 0
                while start < columns.count {
                    var end = start + 1
                    while end < columns.count, columns[end] == columns[start] { end += 1 }
                    let character = Character(Unicode.Scalar(63 + columns[start]))
                    text += end - start > 3 ? "!\(end - start)\(character)" : String(repeating: character, count: end - start)
                    start = end
                }
                text += "$"
            }
            text += "-"
        }
        return text + "\u{1b}\\\n"
    }

    private static func blocks(_ picture: Pixels, isTrueColour: Bool) -> String {
        typealias Colour = (red: Int, green: Int, blue: Int)
        func code(_ colour: Colour) -> String {
            if isTrueColour { return "2;\(colour.red);\(colour.green);\(colour.blue)" }
            func level(_ value: Int) -> Int { value < 48 ? 0 : value < 115 ? 1 : (value - 35) / 40 }
            return "5;\(16 + 36 * level(colour.red) + 6 * level(colour.green) + level(colour.blue))"
        }
        var text = ""
        for y in stride(from: 0, to: picture.height, by: 2) {
            for x in 0..<picture.width { text += "\u{1b}[38;\(code(picture[x, y]))m\u{1b}[48;\(code(picture[x, y + 1]))m▀" }
            text += "\u{1b}[0m\n"
        }
        return text
    }
}
