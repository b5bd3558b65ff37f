import CKernels
import CPlatform

/// The work buffers of the image encoder or decoder, one piece of memory.
struct ImageBuffers {
    /// In floats.
    struct Sizes {
        /// A picture between two layers.
        private(set) var activation = 0
        /// The output of a shortcut or the queries of attention.
        private(set) var spare = 0
        /// What the steps need for themselves.
        private var ownScratch = 0
        /// What lies in the scratch while a 1 x 1 convolution runs, and what that needs behind it.
        private var kept = 0, pointwise = 0
        /// The most channels that are normalized.
        private(set) var channels = 0

        /// A picture between two layers, as floats with padding.
        mutating func cover(picture floats: Int) { activation = max(activation, floats) }

        mutating func cover(scratch floats: Int) { ownScratch = max(ownScratch, floats) }

        mutating func cover(keptInScratch floats: Int) { kept = max(kept, floats) }

        mutating func cover(_ convolutions: [rk_conv], _ algorithm: rk_conv_algorithm, features: UInt32, threads: Int) {
            for conv in convolutions {
                let scratch = withUnsafePointer(to: conv.summed(algorithm)) { rk_conv_scratch(features, $0, Int32(threads)) }
                cover(scratch: scratch)
                if conv.kernel == 1 { pointwise = max(pointwise, scratch) }
            }
        }

        /// Blocks of one level: residual ones from `channels` to `out` channels, and perhaps attention.
        mutating func cover(pixels: Int, channels: Int, out: Int, attention: Bool) {
            let widest = max(channels, out)
            self.channels = max(self.channels, widest)
            cover(picture: pixels * widest)
            cover(scratch: rk_group_norm_scratch(Int32(pixels), Int32(widest)))
            if channels != out || attention { spare = max(spare, pixels * out) }
            if attention {
                cover(scratch: ImagePass.attentionScratch(positions: pixels, channels: out))
                cover(keptInScratch: ImagePass.attentionRows(positions: pixels, channels: out))
            }
        }

        private var parts: [Int] {
            [activation, activation, spare, max(ownScratch, kept + pointwise), 2 * channels].map { paddedToPanel($0) }
        }

        var bytes: Int { 4 * parts.reduce(0, +) }

        fileprivate func start(of part: Int) -> Int { parts[..<part].reduce(0, +) }
    }

    let sizes: Sizes
    /// Pictures between two layers.
    let first, second: UnsafeMutablePointer<Float>
    let spare, scratch: UnsafeMutablePointer<Float>
    /// Scales and shifts of a norm.
    let scales: UnsafeMutablePointer<Float>

    /// To be freed with `free`. `owner` is for the message when there is not enough memory.
    init(_ sizes: Sizes, for owner: String) throws(RudolphError) {
        guard let memory = rp_allocate(UInt64(sizes.bytes)) else {
            throw .outOfMemory("out of memory: \(sizes.bytes) bytes for \(owner)")
        }
        rp_prefer_large_pages(memory)
        let floats = memory.assumingMemoryBound(to: Float.self)
        self.sizes = sizes
        first = floats
        second = floats + sizes.start(of: 1)
        spare = floats + sizes.start(of: 2)
        scratch = floats + sizes.start(of: 3)
        scales = floats + sizes.start(of: 4)
    }

    func free() { rp_free(UnsafeMutableRawPointer(first)) }
}
