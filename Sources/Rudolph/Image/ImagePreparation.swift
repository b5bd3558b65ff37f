import CKernels
import CPlatform

/// What the reference's transform does to a picture before the image tokenizer sees it.
public enum ImagePreparation {
    /// The largest side that a picture is prepared to: that of the largest model is 256.
    public static let maximumSide = 4096

    /// Cuts out the centred square of the shorter side and resizes it to side x side with Pillow's BILINEAR filter, equal to
    /// the byte.
    ///
    /// This is torchvision's RandomResizedCrop(side, scale=(1, 1), ratio=(1, 1)), except where width and height differ by
    /// exactly 1: there the reference draws the offset, 0 or 1, and this takes 0.
    /// - Returns: side * side * 3 bytes, rows from top to bottom.
    /// - Throws: when `side` is not in 1 ... `maximumSide`, and where there is not enough memory.
    public static func prepare(_ image: RGBImage, side: Int) throws(RudolphError) -> [UInt8] {
        try image.pixels.withUnsafeBufferPointer { (pixels) throws(RudolphError) in
            guard let pixels = pixels.baseAddress else { throw RudolphError("a picture without pixels") }
            return try prepare(pixels, width: image.width, height: image.height, side: side)
        }
    }

    /// The same of width * height pixels, at most `RGBImage.maximumPixels`.
    static func prepare(_ pixels: UnsafePointer<UInt8>, width: Int, height: Int, side: Int) throws(RudolphError) -> [UInt8] {
        guard side > 0, side <= maximumSide else {
            throw RudolphError("a picture to be prepared for \(side) pixels a side, expected 1 to \(maximumSide)")
        }
        let square = min(width, height)
        let left = (width - square) / 2
        let top = (height - square) / 2
        let rowBytes = width * 3
        let scratchBytes = rk_resize_scratch(Int32(square), Int32(side))
        guard let scratch = rp_allocate(UInt64(scratchBytes)) else {
            throw .outOfMemory("out of memory: \(scratchBytes) bytes to resize a picture of \(width) x \(height) pixels")
        }
        defer { rp_free(scratch) }
        var prepared = [UInt8](repeating: 0, count: side * side * 3)
        prepared.withUnsafeMutableBufferPointer { out in
            guard let out = out.baseAddress else { return }
            rk_resize_rgb(out, Int32(side), pixels + top * rowBytes + left * 3, rowBytes, Int32(square), scratch)
        }
        return prepared
    }
}
