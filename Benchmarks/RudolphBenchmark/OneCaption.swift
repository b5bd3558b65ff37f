import CPlatform
import ImageFiles
import Rudolph

/// A picture file to a greedy caption, once, as a process of its own does it: for whoever starts this program and times it from outside.
struct OneCaption {
    let path, picture: String
    let threads: Int
    let precision: ActivationPrecision?
    /// Tokens to generate, after the two of the prompt.
    private let length = 30

    /// One JSON object. Times are of the system's monotonic clock, which the caller can read before it starts this process. The first
    /// kernel is the one that resizes the picture: the file is mapped and checked then, the picture read.
    func run() throws -> String {
        let model = try Model(path: path)
        let session = try Session(model, threads: threads, precision: precision)
        let file = try Picture(path: picture)
        let image = try RGBImage(width: file.width, height: file.height, pixels: file.pixels)
        let firstKernel = rp_seconds()
        let tokens = try session.imageTokens(of: image)
        let encoded = rp_seconds()
        session.releaseImageEncoder()
        var options = CaptionOptions.greedy
        options.maximumTokens = 2 + length
        let caption = try Captioner(session).captions(tokens: tokens, options)
        let end = rp_seconds()
        let generated = (caption.first?.ids.count ?? 0) - 2
        return """
            {"first_kernel": \(firstKernel), "encoded": \(encoded), "end": \(end), "tokens": \(generated), \
            "peak_memory_bytes": \(rp_peak_memory())}
            """
    }
}
