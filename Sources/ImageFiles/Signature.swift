import CImageFiles

extension Picture {
    /// The message for a file that is neither PNG nor JPEG: what it looks like by its first bytes.
    static func notAPicture(_ bytes: some Collection<UInt8>, name: String) -> ImageFileError {
        ImageFileError("\(name): \(Signature.describe(Array(bytes.prefix(512)))); expected a PNG or JPEG picture")
    }
}

/// Guesses at files that people give by mistake.
enum Signature {
    private static let known: [(offset: Int, bytes: String, name: String)] = [
        (0, "GIF8", "a GIF picture"), (0, "BM", "a BMP picture"), (8, "WEBP", "a WebP picture"), (0, "II*\0", "a TIFF picture"),
        (0, "MM\0*", "a TIFF picture"), (4, "ftypavif", "an AVIF picture"), (4, "ftyphei", "a HEIC picture"),
        (4, "ftypmif1", "a HEIC picture"), (4, "ftyp", "a video or other ISO media file"), (0, "%PDF", "a PDF document"),
        (0, "GGUF", "a model file (GGUF)"), (0, "PK\u{3}\u{4}", "a zip archive"), (0, "\u{1f}", "compressed data"),
        (0, "P6", "a PPM picture"), (0, "P5", "a PGM picture"), (0, "<svg", "an SVG picture"), (0, "<?xml", "an XML file"),
        (0, "<!DOCTYPE", "a web page"), (0, "<html", "a web page"), (1, "ELF", "a program"),
    ]

    static func describe(_ bytes: [UInt8]) -> String {
        for signature in known where bytes.dropFirst(signature.offset).starts(with: signature.bytes.utf8) {
            return "it looks like \(signature.name)"
        }
        let start = bytes.prefix(8).map { hexadecimal($0) }.joined(separator: " ")
        let isText = !bytes.isEmpty && bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 0x0a || $0 == 0x0d || $0 == 0x09 }
        return isText ? "it looks like text (first bytes \(start))" : "its first bytes are \(start)"
    }

    private static func hexadecimal(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16)
        return digits.count < 2 ? "0" + digits : digits
    }
}
