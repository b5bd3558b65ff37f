import CImageFiles
import CPlatform

/// The upright 8-bit RGB pixels of a PNG or JPEG file, as Pillow gives them: EXIF (or else XMP) orientation applied, alpha
/// composited on white, converted to RGB. `cif_images.h` says where Pillow's own conversions are odd.
///
/// They are what `Rudolph` takes and gives:
/// ```swift
/// let picture = try Picture(path: "photo.jpg")
/// let image = try RGBImage(width: picture.width, height: picture.height, pixels: picture.pixels)
/// ```
public struct Picture: Sendable, Equatable {
    /// In pixels, at least 1.
    public let width: Int
    /// In pixels, at least 1.
    public let height: Int
    /// Rows from top to bottom, 3 bytes a pixel, no padding.
    public let pixels: [UInt8]

    /// - Parameter pixels: rows from top to bottom, 3 bytes a pixel, no padding.
    /// - Throws: unless there are `width * height * 3` bytes of at least one pixel.
    public init(width: Int, height: Int, pixels: [UInt8]) throws(ImageFileError) {
        let (area, overflow) = width.multipliedReportingOverflow(by: height)
        guard width > 0, height > 0, !overflow, pixels.count % 3 == 0, pixels.count / 3 == area else {
            throw ImageFileError("a picture of \(width) x \(height) pixels with \(pixels.count) bytes; expected 3 bytes a pixel")
        }
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// Reads a PNG or JPEG file, told apart by their contents.
    /// - Throws: for a file that cannot be read, of more than 1 GiB, of another kind, or that is damaged or cut short; for sides of more than
    ///   a million pixels; for more than 200 million pixels, or more than the available memory holds, before any is taken for them.
    public init(path: String) throws(ImageFileError) {
        let bytes = try InputFile(path: path).readPicture()
        try self.init(bytes: bytes, name: path)
    }

    /// Reads one picture from standard input, until its end.
    /// - Throws: as for a file.
    public static func standardInput() throws(ImageFileError) -> Picture {
        let input = InputFile.standardInput
        return try Picture(bytes: try input.readPicture(), name: input.name)
    }

    /// Decodes a whole PNG or JPEG file.
    /// - Parameter name: what messages call it.
    /// - Throws: as for a file.
    public init(bytes: [UInt8], name: String) throws(ImageFileError) {
        guard !bytes.isEmpty else { throw ImageFileError("\(name): the file is empty; expected a PNG or JPEG picture") }
        guard cif_kind_of(bytes, bytes.count) != CIF_UNKNOWN else { throw Self.notAPicture(bytes, name: name) }

        var header = cif_header()
        try Self.check(name) { cif_read_header(bytes, bytes.count, &header, $0) }
        let size = Int(header.width) * Int(header.height) * 3
        let place = "\(name): out of memory: its \(header.width) x \(header.height) pixels"
        try Self.checkMemory(cif_decoding_size(&header), available: rp_available_memory(), place: place)
        var failure: ImageFileError?
        let pixels = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            do throws(ImageFileError) {
                try Self.check(name) { cif_decode(bytes, bytes.count, &header, buffer.baseAddress, $0) }
                count = size
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        self.width = Int(header.width)
        self.height = Int(header.height)
        self.pixels = pixels
    }

    /// - Parameter available: bytes, 0 where the system does not say. It gives addresses without memory behind them, and kills who
    ///   then uses them.
    package static func checkMemory(_ size: Int, available: UInt64, place: String) throws(ImageFileError) {
        guard available == 0 || size <= available else {
            throw ImageFileError("\(place) need \(size) bytes; \(available) are available")
        }
        guard cif_can_allocate(size) != 0 else { throw ImageFileError("\(place) need \(size) bytes") }
    }

    /// The bytes of a PNG file with these pixels.
    /// - Throws: for a side of more than a million pixels, more than 200 million pixels, and where memory is short.
    public func pngData() throws(ImageFileError) -> [UInt8] {
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        try Self.check("PNG") { cif_encode_png(pixels, UInt32(width), UInt32(height), &bytes, &count, $0) }
        defer { cif_free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: count))
    }

    /// The bytes of a JPEG file with these pixels, without chroma subsampling.
    /// - Parameter quality: 1 to 100; what is beyond counts as the nearer of both.
    /// - Throws: for a side of more than 65,500 pixels, more than 200 million pixels, and where memory is short.
    public func jpegData(quality: Int = 95) throws(ImageFileError) -> [UInt8] {
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        try Self.check("JPEG") {
            cif_encode_jpeg(pixels, UInt32(width), UInt32(height), Int32(min(max(quality, 1), 100)), &bytes, &count, $0)
        }
        defer { cif_free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: count))
    }

    /// Writes a JPEG file where the name ends in .jpg or .jpeg, else a PNG file: beside `path` first, then renamed, so that no
    /// half-written picture is ever seen. What is no regular file (a pipe, a device) is written to as it is.
    /// - Throws: where it cannot be encoded or written; the file is then as it was.
    public func write(path: String) throws(ImageFileError) {
        try OutputFile.write(try fileData(path: path), path: path)
    }

    /// What `write` puts into a file of this name.
    package func fileData(path: String) throws(ImageFileError) -> [UInt8] {
        let name = path.lowercased()
        return name.hasSuffix(".jpg") || name.hasSuffix(".jpeg") ? try jpegData() : try pngData()
    }

    /// Runs a C call that returns 0, or -1 with a message.
    private static func check(_ name: String, _ call: (UnsafeMutablePointer<CChar>?) -> Int32) throws(ImageFileError) {
        var message = [CChar](repeating: 0, count: Int(CIF_MESSAGE))
        let result = message.withUnsafeMutableBufferPointer { call($0.baseAddress) }
        guard result == 0 else {
            let text = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            throw ImageFileError("\(name): \(String(decoding: text, as: UTF8.self))")
        }
    }
}
