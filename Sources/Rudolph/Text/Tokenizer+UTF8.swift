extension Tokenizer {
    /// The code points of UTF-8. A byte at which no well-formed character begins is skipped, one byte at a time: a broken
    /// character of four bytes leaves nothing, a broken one with an ASCII byte in it leaves that one.
    static func codePoints(of utf8: Span<UInt8>) -> [UInt32] {
        var codePoints: [UInt32] = []
        codePoints.reserveCapacity(utf8.count)
        var position = 0
        while position < utf8.count {
            if let (codePoint, length) = codePoint(at: position, of: utf8) {
                codePoints.append(codePoint)
                position += length
            } else {
                position += 1
            }
        }
        return codePoints
    }

    private static func codePoint(at position: Int, of utf8: Span<UInt8>) -> (UInt32, length: Int)? {
        let first = utf8[position]
        let length: Int
        var codePoint: UInt32
        let smallest: UInt32
        switch first {
        case 0x00...0x7F: return (UInt32(first), 1)
        case 0xC0...0xDF: (length, codePoint, smallest) = (2, UInt32(first & 0x1F), 0x80)
        case 0xE0...0xEF: (length, codePoint, smallest) = (3, UInt32(first & 0x0F), 0x800)
        case 0xF0...0xF7: (length, codePoint, smallest) = (4, UInt32(first & 0x07), 0x10000)
        default: return nil
        }
        guard utf8.count - position >= length else { return nil }
        for offset in 1..<length {
            let byte = utf8[position + offset]
            guard byte & 0xC0 == 0x80 else { return nil }
            codePoint = codePoint << 6 | UInt32(byte & 0x3F)
        }
        guard codePoint >= smallest, Unicode.Scalar(codePoint) != nil else { return nil }
        return (codePoint, length)
    }

    static func string(_ codePoints: ArraySlice<UInt32>) -> String {
        var utf8: [UInt8] = []
        for codePoint in codePoints { append(codePoint, to: &utf8) }
        return String(decoding: utf8, as: UTF8.self)
    }

    static func append(_ codePoint: UInt32, to utf8: inout [UInt8]) {
        guard let scalar = Unicode.Scalar(codePoint) else { return }
        utf8.append(contentsOf: scalar.utf8)
    }
}
