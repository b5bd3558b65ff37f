/// Reads little-endian values from bytes that nobody has checked; a read past the end is an error, never a trap.
struct ByteReader {
    let bytes: UnsafeRawBufferPointer
    /// The file's name, for messages.
    let file: String
    /// What is being read, for messages: "data.pkl", "the zip directory".
    let section: String
    private(set) var position: Int

    init(_ bytes: UnsafeRawBufferPointer, file: String, section: String, from position: Int = 0) {
        self.bytes = bytes
        self.file = file
        self.section = section
        self.position = position
    }

    var remaining: Int { max(0, bytes.count - position) }

    func failure(_ reason: String) -> ConversionError {
        .invalid(file: file, reason: "\(section), byte \(position): \(reason)")
    }

    /// The next `count` bytes, in place.
    mutating func take(_ count: some BinaryInteger) throws(ConversionError) -> UnsafeRawBufferPointer {
        guard let count = Int(exactly: count), count >= 0, count <= remaining else {
            throw failure("ends early: \(count) more bytes expected, \(remaining) left")
        }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    }

    mutating func integer<T: FixedWidthInteger>(_ type: T.Type) throws(ConversionError) -> T {
        T(littleEndian: try take(MemoryLayout<T>.size).loadUnaligned(as: T.self))
    }

    /// The next `count` bytes as UTF-8. More than `longest` are refused before they are copied.
    mutating func string(_ count: some BinaryInteger, atMost longest: Int = .max) throws(ConversionError) -> String {
        let raw = try take(count)
        guard raw.count <= longest else { throw failure("a text of \(raw.count) bytes, expected at most \(longest)") }
        guard let text = String(validating: raw, as: UTF8.self) else { throw failure("a name that is not UTF-8") }
        return text
    }

    /// The bytes up to the next line feed, which is skipped, as UTF-8.
    mutating func line(atMost longest: Int) throws(ConversionError) -> String {
        let rest = bytes[min(position, bytes.count)...].prefix(longest + 1)
        guard let end = rest.firstIndex(of: 0x0A) else { throw failure("a line without an end in \(rest.count) bytes") }
        defer { position += 1 }
        return try string(end - position)
    }
}
