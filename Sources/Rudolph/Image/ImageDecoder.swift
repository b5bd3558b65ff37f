import CKernels
import CPlatform

/// Tokens to pictures: the decoder half of the VQGAN. Buffers as in `ImageEncoder`. Not safe to share between threads.
final class ImageDecoder {
    private let model: Model
    private let weights: ImageDecoderWeights
    private let threads: Int
    private let stop: StopFlag
    private let decisions: UnsafeMutablePointer<Bool>
    private var isStopped = false
    private let algorithm: rk_conv_algorithm
    private let features = rk_cpu_features()
    let buffers: ImageBuffers
    /// Where the last layer's output is after a run.
    private var result: UnsafeMutablePointer<Float>

    private static func sizes(
        _ model: Model, _ weights: ImageDecoderWeights, features: UInt32, threads: Int, arithmetic: ImageArithmetic
    ) -> ImageBuffers.Sizes {
        let configuration = model.configuration.imageTokenizer
        let tokens = model.configuration.imageLength
        var sizes = ImageBuffers.Sizes()
        var channels = configuration.channels(atLevel: configuration.levels - 1)
        sizes.cover(picture: tokens * paddedToPanel(max(configuration.zChannels, configuration.embeddingSize)))
        sizes.cover(pixels: tokens, channels: channels, out: channels, attention: true)
        var pixels = tokens
        for level in (0..<configuration.levels).reversed() {
            let out = configuration.channels(atLevel: level)
            sizes.cover(pixels: pixels, channels: channels, out: out, attention: configuration.attentionLevels.contains(level))
            channels = out
            if level > 0 {
                pixels *= 4
                sizes.cover(picture: pixels * channels)
            }
        }
        sizes.cover(picture: pixels * pixelStride)
        sizes.cover(weights.convolutions, arithmetic.algorithm, features: features, threads: threads)
        return sizes
    }

    static func bytes(_ model: Model, threads: Int, arithmetic: ImageArithmetic) -> UInt64 {
        guard let weights = model.imageDecoder else { return 0 }
        return UInt64(sizes(model, weights, features: rk_cpu_features(), threads: threads, arithmetic: arithmetic).bytes)
    }

    init(_ model: Model, threads: Int, arithmetic: ImageArithmetic, stop: StopFlag) throws(RudolphError) {
        let weights = try model.requiredImageDecoder()
        buffers = try ImageBuffers(
            Self.sizes(model, weights, features: features, threads: threads, arithmetic: arithmetic), for: "the image decoder")
        decisions = UnsafeMutablePointer<Bool>.allocate(capacity: 2)
        self.model = model
        self.weights = weights
        self.threads = threads
        algorithm = arithmetic.algorithm
        self.stop = stop
        result = buffers.first
    }

    deinit {
        buffers.free()
        decisions.deallocate()
    }

    /// The picture of m * m tokens, each less than the number of codes.
    func image(of tokens: [Int]) throws(RudolphError) -> RGBImage {
        let configuration = model.configuration
        try configuration.validate(imageTokens: tokens)
        for (index, token) in tokens.enumerated() {
            weights.codes.copyRow(token, to: buffers.first + index * configuration.imageTokenizer.embeddingSize)
        }
        isStopped = false
        inParallel(threads) { run($0) }
        if isStopped { throw RudolphError.stopped }
        let channels = configuration.imageTokenizer.outputChannels
        for pixel in 0..<(configuration.imageSide * configuration.imageSide) where !areFinite(result + pixel * Self.pixelStride, channels) {
            throw model.damaged("the image decoder's values of pixel \(pixel)")
        }
        return configuration.imageTokenizer.hasWaveletDecoder
            ? try waveletPixels(configuration.imageSide) : try pixels(configuration.imageSide)
    }

    private func run(_ worker: UnsafeMutablePointer<rk_worker>) {
        let side = model.configuration.imageTokensPerSide
        var pass = ImagePass(
            worker: worker, features: features, algorithm: algorithm, buffers: buffers, height: side, width: side, stop: stop,
            decisions: decisions)
        pass.convolve(weights.postQuantConv)
        pass.compact(channels: model.configuration.imageTokenizer.zChannels)
        pass.convolve(weights.convIn)
        pass.middle(weights.middle)
        for level in weights.levels {
            pass.blocks(of: level)
            if let upsample = level.resample { pass.upsample(upsample) }
        }
        pass.convolve(weights.convOut, after: weights.normOut)
        if worker.pointee.index == 0 {
            isStopped = pass.isStopped
            result = pass.x
        }
    }

    /// -1 ... 1 to a byte, cut off as torchvision's ToPILImage does.
    private func byte(_ value: Float) -> UInt8 {
        let clamped = value > -1 ? (value < 1 ? value : 1) : -1
        return UInt8((clamped + 1) * 0.5 * 255)
    }

    /// Floats between the pixels of the last convolution's output, which is padded to whole panels.
    private static let pixelStride = 16

    private func pixels(_ side: Int) throws(RudolphError) -> RGBImage {
        var bytes = [UInt8](repeating: 0, count: side * side * 3)
        for pixel in 0..<(side * side) {
            for channel in 0..<3 { bytes[3 * pixel + channel] = byte(result[pixel * Self.pixelStride + channel]) }
        }
        return try RGBImage(width: side, height: side, pixels: bytes)
    }

    /// The inverse Haar transform: channels 0 ..< 3 are the low band of each colour, 3 + 3 * colour + band the high bands (vertical detail,
    /// horizontal detail, diagonal).
    private func waveletPixels(_ side: Int) throws(RudolphError) -> RGBImage {
        var bytes = [UInt8](repeating: 0, count: 4 * side * side * 3)
        for y in 0..<side {
            for x in 0..<side {
                let pixel = result + (y * side + x) * Self.pixelStride
                for colour in 0..<3 {
                    let low = pixel[colour]
                    let vertical = pixel[3 + 3 * colour]
                    let horizontal = pixel[4 + 3 * colour]
                    let diagonal = pixel[5 + 3 * colour]
                    let top = 3 * (2 * y * 2 * side + 2 * x) + colour
                    let bottom = top + 3 * 2 * side
                    bytes[top] = byte(0.5 * (low + vertical + horizontal + diagonal))
                    bytes[top + 3] = byte(0.5 * (low + vertical - horizontal - diagonal))
                    bytes[bottom] = byte(0.5 * (low - vertical + horizontal - diagonal))
                    bytes[bottom + 3] = byte(0.5 * (low - vertical - horizontal + diagonal))
                }
            }
        }
        return try RGBImage(width: 2 * side, height: 2 * side, pixels: bytes)
    }
}
