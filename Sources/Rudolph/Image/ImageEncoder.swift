import CKernels
import CPlatform

/// Pictures to tokens: the encoder half of the VQGAN and the arg-max over its codes.
///
/// Activations are [row][column][channel] floats in three buffers that are allocated once. Not safe to share between threads.
final class ImageEncoder {
    private let model: Model
    private let threads: Int
    private let arithmetic: ImageArithmetic
    private let features = rk_cpu_features()
    private let side: Int
    private let memory: UnsafeMutableRawPointer
    /// The picture so far, two work buffers of the same size, and what the convolutions and norms need.
    private let current, first, second, scratch: UnsafeMutablePointer<Float>
    private let indices: UnsafeMutablePointer<Int32>
    private let stop: StopFlag
    private let decisions = UnsafeMutablePointer<Bool>.allocate(capacity: 2)
    /// Of the picture that is being encoded.
    private var height = 0
    private var width = 0

    private struct Sizes {
        let activation, scratch, tokens: Int

        init(_ model: Model, threads: Int, arithmetic: ImageArithmetic) {
            let configuration = model.configuration.imageTokenizer
            let weights = model.imageEncoder
            let side = model.configuration.imageSide
            tokens = model.configuration.imageLength
            var activation = 3 * side * side
            var scratch = 0
            var height = side
            for level in 0..<configuration.levels {
                let pixels = height * height
                // A level begins with the channels of the level above.
                let widest = max(configuration.channels(atLevel: level), level == 0 ? 0 : configuration.channels(atLevel: level - 1))
                activation = max(activation, pixels * widest)
                scratch = max(scratch, rk_group_norm_scratch(Int32(pixels), Int32(widest)))
                if level < configuration.levels - 1 { height /= 2 }
            }
            let last = configuration.channels(atLevel: configuration.levels - 1)
            activation = max(activation, tokens * max(last, (configuration.zChannels + 15) / 16 * 16, (configuration.embeddingSize + 15) / 16 * 16))
            scratch = max(scratch, rk_group_norm_scratch(Int32(tokens), Int32(last)))
            scratch = max(scratch, ImagePass.attentionScratch(positions: tokens, channels: last))
            scratch = max(scratch, ImageEncoder.positionsAtOnce * ((configuration.codes + 15) / 16 * 16))
            for conv in weights.convolutions {
                scratch = max(scratch, withUnsafePointer(to: conv.summed(arithmetic)) { rk_conv_scratch($0, Int32(threads)) })
            }
            self.activation = (activation + 15) / 16 * 16
            self.scratch = (scratch + 15) / 16 * 16
        }

        var bytes: Int { 4 * (3 * activation + scratch + (tokens + 15) / 16 * 16) }
    }

    /// Logits over the codes are computed for so many positions at a time.
    private static let positionsAtOnce = 64

    static func bytes(_ model: Model, threads: Int, arithmetic: ImageArithmetic = .fast) -> UInt64 { UInt64(Sizes(model, threads: threads, arithmetic: arithmetic).bytes) }

    init(_ model: Model, threads: Int, arithmetic: ImageArithmetic, stop: StopFlag) throws(RudolphError) {
        let sizes = Sizes(model, threads: threads, arithmetic: arithmetic)
        guard let memory = rp_allocate(UInt64(sizes.bytes)) else {
            throw RudolphError("out of memory: \(sizes.bytes) bytes for the image encoder")
        }
        self.model = model
        self.threads = threads
        self.arithmetic = arithmetic
        self.stop = stop
        self.memory = memory
        side = model.configuration.imageSide
        let floats = memory.assumingMemoryBound(to: Float.self)
        current = floats
        first = floats + sizes.activation
        second = floats + 2 * sizes.activation
        scratch = floats + 3 * sizes.activation
        indices = (memory + 4 * (3 * sizes.activation + sizes.scratch)).assumingMemoryBound(to: Int32.self)
    }

    deinit {
        rp_free(memory)
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
        for index in pixels.indices {
            // ToTensor divides by 255, the encoder takes 2x - 1.
            current[index] = 2 * (Float(pixels[index]) / 255) - 1
        }
        rk_parallel(Int32(threads), { context, worker in
            guard let context, let worker else { return }
            Unmanaged<ImageEncoder>.fromOpaque(context)._withUnsafeGuaranteedRef { $0.run(worker) }
        }, Unmanaged.passUnretained(self).toOpaque())
        if stop.isRaised { throw RudolphError.stopped }
        return (0..<(height / unit * (width / unit))).map { Int(indices[$0]) }
    }

    private func run(_ worker: UnsafeMutablePointer<rk_worker>) {
        let weights = model.imageEncoder
        var pass = ImagePass(
            worker: worker, features: features, arithmetic: arithmetic, x: current, free: first, spare: second, scratch: scratch, height: height,
            width: width, stop: stop, decisions: decisions)
        pass.convolve(weights.convIn)
        for level in weights.levels {
            for (index, block) in level.blocks.enumerated() {
                pass.residual(block)
                if index < level.attention.count { pass.attention(level.attention[index]) }
            }
            if let downsample = level.downsample { pass.downsample(downsample) }
        }
        pass.residual(weights.middle.first)
        pass.attention(weights.middle.attention)
        pass.residual(weights.middle.second)
        pass.normalize(weights.normOut)
        pass.convolve(weights.convOut)
        pass.compact(channels: model.configuration.imageTokenizer.zChannels)
        pass.convolve(weights.quantConv)

        let tokens = pass.height * pass.width
        let stride = Int(weights.quantConv.weights.rows + 15) / 16 * 16
        let codes = Int(weights.codes.weights.rows)
        let codeStride = (codes + 15) / 16 * 16
        var matrix = weights.codes.weights
        var start = 0
        while start < tokens {
            let count = min(Self.positionsAtOnce, tokens - start)
            var input = rk_input()
            input.x = UnsafePointer(pass.x + start * stride)
            input.stride = stride
            input.count = Int32(count)
            rk_matmul(worker, features, &matrix, &input, 0, Int32(codes), weights.codes.bias, RK_NONE, scratch, codeStride)
            rk_rows_argmax(
                worker, rk_rows(data: scratch, stride: codeStride, count: Int32(count), n: Int32(codes)), indices + start)
            start += count
        }
    }
}
