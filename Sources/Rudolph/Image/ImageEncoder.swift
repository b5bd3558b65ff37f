import CKernels
import CPlatform

/// Pictures to tokens: the encoder half of the VQGAN and the arg-max over its codes.
///
/// Activations are [row][column][channel] floats in buffers that are allocated once. Not safe to share between threads.
final class ImageEncoder {
    private let model: Model
    private let threads: Int
    private let algorithm: rk_conv_algorithm
    private let features = rk_cpu_features()
    private let side: Int
    /// After a picture its scratch holds the logits of the last positions.
    let buffers: ImageBuffers
    private let indices: UnsafeMutablePointer<Int32>
    /// Whether a token was chosen among numbers.
    private let isChosen: UnsafeMutablePointer<Bool>
    private let stop: StopFlag
    private let decisions: UnsafeMutablePointer<Bool>
    private var isStopped = false
    /// Of the picture that is being encoded.
    private var height = 0
    private var width = 0

    private static func sizes(_ model: Model, features: UInt32, threads: Int, arithmetic: ImageArithmetic) -> ImageBuffers.Sizes {
        let configuration = model.configuration.imageTokenizer
        let tokens = model.configuration.imageLength
        var sizes = ImageBuffers.Sizes()
        var side = model.configuration.imageSide
        sizes.cover(picture: 3 * side * side)
        var channels = configuration.channels
        for level in 0..<configuration.levels {
            let out = configuration.channels(atLevel: level)
            sizes.cover(pixels: side * side, channels: channels, out: out, attention: configuration.attentionLevels.contains(level))
            channels = out
            if level < configuration.levels - 1 { side /= 2 }
        }
        sizes.cover(pixels: tokens, channels: channels, out: channels, attention: true)
        sizes.cover(picture: tokens * paddedToPanel(max(configuration.zChannels, configuration.embeddingSize)))
        sizes.cover(scratch: positionsAtOnce * paddedToPanel(configuration.codes))
        sizes.cover(model.imageEncoder.convolutions, arithmetic.algorithm, features: features, threads: threads)
        return sizes
    }

    /// Logits over the codes are computed for so many positions at a time.
    private static let positionsAtOnce = 64

    static func bytes(_ model: Model, threads: Int, arithmetic: ImageArithmetic) -> UInt64 {
        UInt64(sizes(model, features: rk_cpu_features(), threads: threads, arithmetic: arithmetic).bytes)
    }

    init(_ model: Model, threads: Int, arithmetic: ImageArithmetic, stop: StopFlag) throws(RudolphError) {
        buffers = try ImageBuffers(Self.sizes(model, features: features, threads: threads, arithmetic: arithmetic), for: "the image encoder")
        indices = UnsafeMutablePointer<Int32>.allocate(capacity: model.configuration.imageLength)
        isChosen = UnsafeMutablePointer<Bool>.allocate(capacity: model.configuration.imageLength)
        decisions = UnsafeMutablePointer<Bool>.allocate(capacity: 2)
        self.model = model
        self.threads = threads
        algorithm = arithmetic.algorithm
        self.stop = stop
        side = model.configuration.imageSide
    }

    deinit {
        buffers.free()
        indices.deallocate()
        isChosen.deallocate()
        decisions.deallocate()
    }

    /// The tokens of a prepared picture or a part of one: height * width * 3 bytes, see `ImagePreparation`. Both sides are multiples of
    /// the pixels of a token, and at most those of the model's pictures.
    func tokens(of pixels: [UInt8], height: Int, width: Int) throws(RudolphError) -> [Int] {
        let unit = model.configuration.imageTokenizer.pixelsPerToken
        guard (unit...side).contains(height), (unit...side).contains(width), height % unit == 0, width % unit == 0,
            pixels.count == height * width * 3
        else {
            throw RudolphError(
                "a picture of \(width) x \(height) pixels in \(pixels.count) bytes, expected at most \(side) x \(side) in steps of \(unit)")
        }
        self.height = height
        self.width = width
        isStopped = false
        for index in pixels.indices {
            // ToTensor divides by 255, the encoder takes 2x - 1.
            buffers.first[index] = 2 * (Float(pixels[index]) / 255) - 1
        }
        inParallel(threads) { run($0) }
        if isStopped { throw RudolphError.stopped }
        let tokens = 0..<(height / unit * (width / unit))
        for token in tokens where !isChosen[token] { throw model.damaged("the image encoder's logits of token \(token)") }
        return tokens.map { Int(indices[$0]) }
    }

    private func run(_ worker: UnsafeMutablePointer<rk_worker>) {
        let weights = model.imageEncoder
        var pass = ImagePass(
            worker: worker, features: features, algorithm: algorithm, buffers: buffers, height: height, width: width, stop: stop,
            decisions: decisions)
        pass.convolve(weights.convIn)
        for level in weights.levels {
            pass.blocks(of: level)
            if let downsample = level.resample { pass.downsample(downsample) }
        }
        pass.middle(weights.middle)
        if pass.isStopped {
            if worker.pointee.index == 0 { isStopped = true }
            return
        }
        pass.convolve(weights.convOut, after: weights.normOut)
        pass.compact(channels: model.configuration.imageTokenizer.zChannels)
        pass.convolve(weights.quantConv)

        let tokens = pass.height * pass.width
        let rowStride = paddedToPanel(Int(weights.quantConv.weights.rows))
        let codes = Int(weights.codes.weights.rows)
        let codeStride = paddedToPanel(codes)
        var matrix = weights.codes.weights
        var start = 0
        while start < tokens {
            let count = min(Self.positionsAtOnce, tokens - start)
            var input = rk_input()
            input.x = UnsafePointer(pass.x + start * rowStride)
            input.stride = rowStride
            input.count = Int32(count)
            rk_matmul(worker, features, &matrix, &input, weights.codes.bias, RK_NONE, buffers.scratch, codeStride)
            for row in stride(from: Int(worker.pointee.index), to: count, by: Int(worker.pointee.count)) {
                isChosen[start + row] = areFinite(buffers.scratch + row * codeStride, codes)
            }
            rk_rows_argmax(
                worker, rk_rows(data: buffers.scratch, stride: codeStride, count: Int32(count), n: Int32(codes)), indices + start)
            start += count
        }
    }
}
