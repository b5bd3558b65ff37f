/// What the decoder keeps to itself: where a text stops being JSON, and all names of an object's members, of which it takes equal ones as one.
struct JSONSyntax {
    /// Lists and objects within each other, as many as the decoder takes.
    private static let deepest = 512

    private let bytes: [UInt8]
    private var position = 0
    /// Of the outermost object's members, where they stand with their quotation marks.
    private var names: [Range<Int>] = []

    /// The first byte that no JSON text has there, the end where the text ends too early; nil for JSON.
    static func failure(in bytes: [UInt8]) -> Int? {
        var syntax = JSONSyntax(bytes: bytes)
        guard syntax.value(depth: 1) else { return syntax.position }
        syntax.skipSpace()
        return syntax.position == bytes.count ? nil : syntax.position
    }

    /// The names of an object's members in their order, as they are written in a JSON text.
    static func names(in bytes: [UInt8]) -> [Range<Int>] {
        var syntax = JSONSyntax(bytes: bytes)
        _ = syntax.value(depth: 1)
        return syntax.names
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): true
        default: false
        }
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
        // A byte order mark is passed over.
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, Self.isSpace(byte) { position += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    /// Each of these is false with `position` at what should not be there.
    private mutating func value(depth: Int) -> Bool {
        skipSpace()
        guard depth <= Self.deepest, let byte = next else { return false }
        switch byte {
        case UInt8(ascii: "["): return list(until: "]") { $0.value(depth: depth + 1) }
        case UInt8(ascii: "{"): return list(until: "}") { $0.member(depth: depth + 1) }
        case UInt8(ascii: "\""): return string()
        case UInt8(ascii: "t"): return word("true")
        case UInt8(ascii: "f"): return word("false")
        case UInt8(ascii: "n"): return word("null")
        default: return number()
        }
    }

    private mutating func list(until end: Unicode.Scalar, of entry: (inout JSONSyntax) -> Bool) -> Bool {
        position += 1
        skipSpace()
        if take(end) { return true }
        while true {
            guard entry(&self) else { return false }
            skipSpace()
            if take(end) { return true }
            guard take(",") else { return false }
            skipSpace()
            // The decoder lets a comma stand before the end.
            if take(end) { return true }
        }
    }

    private mutating func member(depth: Int) -> Bool {
        skipSpace()
        let start = position
        guard next == UInt8(ascii: "\""), string() else { return false }
        if depth == 2 { names.append(start..<position) }
        skipSpace()
        return take(":") && value(depth: depth)
    }

    private mutating func string() -> Bool {
        position += 1
        while let byte = next, byte >= 0x20 {
            position += 1
            if byte == UInt8(ascii: "\"") { return true }
            if byte == UInt8(ascii: "\\"), !escape() { return false }
        }
        return false
    }

    private mutating func escape() -> Bool {
        if take("u") {
            for _ in 0..<4 {
                guard let digit = next, Character(Unicode.Scalar(digit)).isHexDigit else { return false }
                position += 1
            }
            return true
        }
        return #""\/bfnrt"#.unicodeScalars.contains { take($0) }
    }

    private mutating func word(_ word: String) -> Bool {
        word.unicodeScalars.allSatisfy { take($0) }
    }

    private mutating func number() -> Bool {
        _ = take("-")
        guard take("0") || digits() else { return false }
        if take("."), !digits() { return false }
        guard take("e") || take("E") else { return true }
        if !take("+") { _ = take("-") }
        return digits()
    }

    /// One or more.
    private mutating func digits() -> Bool {
        let start = position
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
        return position > start
    }
}
