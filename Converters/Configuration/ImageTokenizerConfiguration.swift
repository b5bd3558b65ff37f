/// The sizes of a VQGAN with Gumbel quantization, all read from its tensors.
package struct ImageTokenizerConfiguration: Equatable, Sendable {
    package var channels: Int
    package var channelMultipliers: [Int]
    package var residualBlocks: Int
    package var zChannels: Int
    package var embeddingSize: Int
    package var codes: Int
    /// 3, or 12 for the wavelet decoder.
    package var outChannels: Int
    /// Levels with attention, counted from 0, the full resolution.
    package var attentionLevels: [Int]

    package init(
        channels: Int, channelMultipliers: [Int], residualBlocks: Int, zChannels: Int, embeddingSize: Int, codes: Int, outChannels: Int,
        attentionLevels: [Int]
    ) {
        self.channels = channels
        self.channelMultipliers = channelMultipliers
        self.residualBlocks = residualBlocks
        self.zChannels = zChannels
        self.embeddingSize = embeddingSize
        self.codes = codes
        self.outChannels = outChannels
        self.attentionLevels = attentionLevels
    }

    private static let mostLevels = 8, mostBlocks = 64

    /// Where the wavelet checkpoint keeps its decoder.
    private static let waveletPrefixes = ["decoder.decoder.": "decoder.", "decoder.post_quant_conv.": "post_quant_conv."]

    /// The checkpoint's tensors under the plain names: the wavelet decoder's are moved there.
    static func plainNames(_ checkpoint: Checkpoint) -> [String: TensorView] {
        guard checkpoint.tensors["decoder.decoder.conv_in.weight"] != nil else { return checkpoint.tensors }
        var plain: [String: TensorView] = [:]
        for (name, view) in checkpoint.tensors {
            if let (prefix, replacement) = waveletPrefixes.first(where: { name.hasPrefix($0.key) }) {
                plain[replacement + name.dropFirst(prefix.count)] = view
            } else if !name.hasPrefix("post_quant_conv.") {  // there as well, and unused
                plain[name] = view
            }
        }
        return plain
    }

    /// Reads the sizes from the shapes of a few tensors. The others are checked against `tensors` by whoever reads them.
    init(_ checkpoint: Checkpoint, _ tensors: [String: TensorView]) throws(ConversionError) {
        func shape(_ name: String) throws(ConversionError) -> [Int] {
            guard let view = tensors[name] else { throw checkpoint.failure("\(name) is missing; is this the VQGAN?") }
            guard view.shape.count == 4, view.shape.allSatisfy({ (1...1 << 20).contains($0) }) else {
                throw checkpoint.failure("\(name) has the shape \(view.shape), expected four dimensions")
            }
            return view.shape
        }
        // How many numbered modules lie under `prefix`, by the names that are there.
        func count(_ prefix: String, atMost limit: Int) throws(ConversionError) -> Int {
            var count = 0
            for name in tensors.keys where name.hasPrefix(prefix) {
                guard let index = Int(name.dropFirst(prefix.count).prefix { $0 != "." }), (0..<limit).contains(index) else {
                    throw checkpoint.failure("\(name) is not expected; modules under \(prefix) are numbered from 0 to \(limit - 1)")
                }
                count = max(count, index + 1)
            }
            guard count > 0 else { throw checkpoint.failure("\(prefix)0 is missing; is this the VQGAN?") }
            return count
        }
        channels = try shape("encoder.conv_in.weight")[0]
        guard channels.isMultiple(of: 32), channels <= 4096 else {
            throw checkpoint.failure(
                "encoder.conv_in.weight has \(channels) channels, expected a multiple of the 32 groups of its norms up to 4096")
        }
        let levels = try count("encoder.down.", atMost: Self.mostLevels)
        channelMultipliers = []
        for level in 0..<levels {
            let name = "encoder.down.\(level).block.0.conv1.weight", out = try shape(name)[0]
            guard out.isMultiple(of: channels), out <= 64 * channels else {
                throw checkpoint.failure("\(name) has \(out) channels, expected a multiple of \(channels) up to \(64 * channels)")
            }
            channelMultipliers.append(out / channels)
        }
        residualBlocks = try count("encoder.down.0.block.", atMost: Self.mostBlocks)
        attentionLevels = (0..<levels).filter { level in tensors.keys.contains { $0.hasPrefix("encoder.down.\(level).attn.") } }
        zChannels = try shape("encoder.conv_out.weight")[0]
        embeddingSize = try shape("quant_conv.weight")[0]
        codes = try shape("quantize.proj.weight")[0]
        outChannels = try shape("decoder.conv_out.weight")[0]
        guard outChannels == 3 || outChannels == 12 else {
            throw checkpoint.failure("decoder.conv_out.weight has \(outChannels) channels, expected 3, or 12 for the wavelet decoder")
        }
    }

    /// The sizes that a packed file's metadata state; nil when one is missing or makes no sense.
    init?(_ header: GGUF.Header) {
        func numbers(_ key: String) -> [Int]? {
            let values: [UInt32]
            switch header[key] {
            case .uint32(let value): values = [value]
            case .uint32s(let list): values = list
            default: return nil
            }
            return values.count <= Self.mostLevels && values.allSatisfy { $0 <= 1 << 20 } ? values.map(Int.init) : nil
        }
        typealias Key = FileSchema.Key
        guard let channels = numbers(Key.channels)?.first, let multipliers = numbers(Key.channelMultipliers),
            let blocks = numbers(Key.residualBlocks)?.first, blocks <= Self.mostBlocks, let z = numbers(Key.zChannels)?.first,
            let embedding = numbers(Key.embeddingSize)?.first, let codes = numbers(Key.codes)?.first,
            let out = numbers(Key.outChannels)?.first, let levels = numbers(Key.attentionLevels)
        else { return nil }
        self.channels = channels
        channelMultipliers = multipliers
        residualBlocks = blocks
        zChannels = z
        embeddingSize = embedding
        self.codes = codes
        outChannels = out
        attentionLevels = levels
    }

    /// Every tensor of such a VQGAN in the order of the packed file, encoder first, with its shape.
    package var tensors: [(name: String, shape: [Int])] {
        var list: [(name: String, shape: [Int])] = []
        func affine(_ name: String, _ shape: [Int]) {
            list.append((name + ".weight", shape))
            list.append((name + ".bias", [shape[0]]))
        }
        func convolution(_ name: String, _ input: Int, _ output: Int, kernel: Int = 3) {
            affine(name, [output, input, kernel, kernel])
        }
        func block(_ name: String, _ input: Int, _ output: Int) {
            affine(name + ".norm1", [input])
            convolution(name + ".conv1", input, output)
            affine(name + ".norm2", [output])
            convolution(name + ".conv2", output, output)
            if input != output { convolution(name + ".nin_shortcut", input, output, kernel: 1) }
        }
        func attention(_ name: String, _ channels: Int) {
            affine(name + ".norm", [channels])
            for part in ["q", "k", "v", "proj_out"] { convolution("\(name).\(part)", channels, channels, kernel: 1) }
        }
        func middle(_ name: String, _ channels: Int) {
            block(name + ".block_1", channels, channels)
            attention(name + ".attn_1", channels)
            block(name + ".block_2", channels, channels)
        }

        var width = channels
        convolution("encoder.conv_in", 3, width)
        for (level, multiplier) in channelMultipliers.enumerated() {
            for index in 0..<residualBlocks {
                block("encoder.down.\(level).block.\(index)", width, channels * multiplier)
                width = channels * multiplier
                if attentionLevels.contains(level) { attention("encoder.down.\(level).attn.\(index)", width) }
            }
            if level < channelMultipliers.count - 1 { convolution("encoder.down.\(level).downsample.conv", width, width) }
        }
        middle("encoder.mid", width)
        affine("encoder.norm_out", [width])
        convolution("encoder.conv_out", width, zChannels)
        convolution("quant_conv", zChannels, embeddingSize, kernel: 1)
        convolution("quantize.proj", embeddingSize, codes, kernel: 1)

        list.append(("quantize.embed.weight", [codes, embeddingSize]))
        convolution("post_quant_conv", embeddingSize, zChannels, kernel: 1)
        convolution("decoder.conv_in", zChannels, width)
        middle("decoder.mid", width)
        for (level, multiplier) in channelMultipliers.enumerated().reversed() {
            for index in 0...residualBlocks {
                block("decoder.up.\(level).block.\(index)", width, channels * multiplier)
                width = channels * multiplier
                if attentionLevels.contains(level) { attention("decoder.up.\(level).attn.\(index)", width) }
            }
            if level > 0 { convolution("decoder.up.\(level).upsample.conv", width, width) }
        }
        affine("decoder.norm_out", [width])
        convolution("decoder.conv_out", width, outChannels)
        return list
    }
}
