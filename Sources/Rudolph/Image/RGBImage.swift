/// A picture of 8-bit RGB pixels: rows from top to bottom, 3 bytes a pixel, no padding.
public struct RGBImage: Sendable {
    /// In pixels.
    public let width: Int
    /// In pixels.
    public let height: Int
    /// width * height * 3 bytes.
    public let pixels: [UInt8]

    /// The largest picture that is accepted, in pixels: 768 MiB of RGB.
    public static let maximumPixels = 1 << 28

    /// - Throws: for an empty picture, one of more than `maximumPixels`, and where the number of bytes does not fit the size.
    public init(width: Int, height: Int, pixels: [UInt8]) throws(RudolphError) {
        guard width > 0, height > 0 else {
            throw RudolphError("a picture of \(width) x \(height) pixels, expected at least 1 x 1")
        }
        guard width <= Self.maximumPixels / height else {
            throw RudolphError("a picture of \(width) x \(height) pixels, expected at most \(Self.maximumPixels) pixels")
        }
        guard pixels.count == width * height * 3 else {
            throw RudolphError("\(pixels.count) bytes for a picture of \(width) x \(height), expected \(width * height * 3)")
        }
        self.width = width
        self.height = height
        self.pixels = pixels
    }
}
