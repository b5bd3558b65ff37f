import CKernels
import CPlatform

/// Tokens to pictures: the decoder half of the VQGAN. Buffers as in `ImageEncoder`. Not safe to share between threads.
final class ImageDecoder {
    private let model: Model
    private let weights: ImageDecoderWeights
    private let threads: Int
    private let stop: StopFlag
    private let decisions = UnsafeMutablePointer<Bool>.allocate(capacity: 2)
    private let arithmetic: ImageArithmetic
    private let features = rk_cpu_features()
    private let memory: UnsafeMutableRawPointer
    private let current, first, second, scratch: UnsafeMutablePointer<Float>
    /// Where the last layer's output is after a run.
    private var result: UnsafeMutablePointer<Float>

    private struct Sizes {
        let activation, scratch: Int

        init(_ model: Model, _ weights: ImageDecoderWeights, threads: Int, arithmetic: ImageArithmetic) {
            let configuration = model.configuration.imageTokenizer
            let tokens = model.configuration.imageLength
            let last = configuration.channels(atLevel: configuration.levels - 1)
            var activation = tokens * max(last, (max(configuration.zChannels, configuration.embeddingSize) + 15) / 16 * 16)
            var scratch = max(
                rk_group_norm_scratch(Int32(tokens), Int32(last)), ImagePass.attentionScratch(positions: tokens, channels: last))
            var pixels = tokens
            for level in (0..<configuration.levels).reversed() {
                // A level begins with the channels of the level below it.
                let widest = configuration.channels(atLevel: min(level + 1, configuration.levels - 1))
                let channels = max(widest, configuration.channels(atLevel: level))
                activation = max(activation, pixels * channels)
                scratch = max(scratch, rk_group_norm_scratch(Int32(pixels), Int32(channels)))
                if level > 0 {
                    pixels *= 4
                    activation = max(activation, pixels * configuration.channels(atLevel: level))
                }
            }
            activation = max(activation, pixels * 16)
            for conv in weights.convolutions {
                scratch = max(scratch, withUnsafePointer(to: conv.summed(arithmetic)) { rk_conv_scratch($0, Int32(threads)) })
            }
            self.activation = (activation + 15) / 16 * 16
            self.scratch = (scratch + 15) / 16 * 16
        }

        var bytes: Int { 4 * (3 * activation + scratch) }
    }

    static func bytes(_ model: Model, threads: Int, arithmetic: ImageArithmetic = .fast) -> UInt64 {
        guard let weights = model.imageDecoder else { return 0 }
        return UInt64(Sizes(model, weights, threads: threads, arithmetic: arithmetic).bytes)
    }

    init(_ model: Model, threads: Int, arithmetic: ImageArithmetic, stop: StopFlag) throws(RudolphError) {
        guard let weights = model.imageDecoder else {
            throw RudolphError("\(model.path): has no image decoder (vqgan.decoder.*), so it cannot draw")
        }
        let sizes = Sizes(model, weights, threads: threads, arithmetic: arithmetic)
        guard let memory = rp_allocate(UInt64(sizes.bytes)) else {
            throw RudolphError("out of memory: \(sizes.bytes) bytes for the image decoder")
        }
        self.model = model
        self.weights = weights
        self.threads = threads
        self.arithmetic = arithmetic
        self.stop = stop
        self.memory = memory
        let floats = memory.assumingMemoryBound(to: Float.self)
        current = floats
        first = floats + sizes.activation
        second = floats + 2 * sizes.activation
        scratch = floats + 3 * sizes.activation
        result = current
    }

    deinit {
        rp_free(memory)
        decisions.deallocate()
    }

    /// The picture of m * m tokens, each less than the number of codes.
    func image(of tokens: [Int]) throws(RudolphError) -> RGBImage {
        let configuration = model.configuration
        guard tokens.count == configuration.imageLength else {
            throw RudolphError("\(tokens.count) image tokens, expected \(configuration.imageLength)")
        }
        for (index, token) in tokens.enumerated() {
            guard (0..<configuration.imageVocabularySize).contains(token) else {
                throw RudolphError("image token \(token), expected 0 to \(configuration.imageVocabularySize - 1)")
            }
            weights.codes.copyRow(token, to: current + index * configuration.imageTokenizer.embeddingSize)
        }
        rk_parallel(Int32(threads), { context, worker in
            guard let context, let worker else { return }
            Unmanaged<ImageDecoder>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.run(worker) }
        }, Unmanaged.passUnretained(self).toOpaque())
        if stop.isRaised { throw RudolphError.stopped }
        return configuration.imageTokenizer.outputChannels == 12
            ? try waveletPixels(configuration.imageSide) : try pixels(configuration.imageSide)
    }

    private func run(_ worker: UnsafeMutablePointer<rk_worker>) {
        let side = model.configuration.imageTokensPerSide
        var pass = ImagePass(
            worker: worker, features: features, arithmetic: arithmetic, x: current, free: first, spare: second, scratch: scratch, height: side, width: side,
            stop: stop, decisions: decisions)
        pass.convolve(weights.postQuantConv)
        pass.compact(channels: model.configuration.imageTokenizer.zChannels)
        pass.convolve(weights.convIn)
        pass.residual(weights.middle.first)
        pass.attention(weights.middle.attention)
        pass.residual(weights.middle.second)
        for level in weights.levels {
            for (index, block) in level.blocks.enumerated() {
                pass.residual(block)
                if index < level.attention.count { pass.attention(level.attention[index]) }
            }
            if let upsample = level.upsample { pass.upsample(upsample) }
        }
        pass.normalize(weights.normOut)
        pass.convolve(weights.convOut)
        if worker.pointee.index == 0 { result = pass.x }
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
