import Rudolph

/// The sizes of a VQGAN with Gumbel quantization, all read from its tensors.
extension ImageTokenizerConfiguration {
    /// Where the wavelet checkpoint keeps its decoder.
    private static let waveletPrefixes = ["decoder.decoder.": "decoder.", "decoder.post_quant_conv.": "post_quant_conv."]

    /// The checkpoint with its tensors under the plain names: the wavelet decoder's are moved there.
    static func withPlainNames(_ checkpoint: Checkpoint) -> Checkpoint {
        guard checkpoint.tensors["decoder.decoder.conv_in.weight"] != nil else { return checkpoint }
        var plain: [String: TensorView] = [:]
        for (name, view) in checkpoint.tensors {
            if let (prefix, replacement) = waveletPrefixes.first(where: { name.hasPrefix($0.key) }) {
                plain[replacement + name.dropFirst(prefix.count)] = view
            } else if !name.hasPrefix("post_quant_conv.") {  // there as well, and unused
                plain[name] = view
            }
        }
        return checkpoint.with(plain)
    }

    /// Reads the sizes from the shapes of a few tensors of a checkpoint with plain names. The others are checked against `tensors` by whoever
    /// reads them.
    init(_ checkpoint: Checkpoint) throws(ConversionError) {
        // The first dimension, which must be one of `limits`.
        func outputs(_ name: String, _ limits: ClosedRange<Int> = 1...Int.max) throws(ConversionError) -> Int {
            guard let view = checkpoint.tensors[name] else { throw checkpoint.failure("\(name) is missing; is this the VQGAN?") }
            guard view.shape.count == 4, view.shape.allSatisfy({ $0 > 0 }) else {
                throw checkpoint.failure("\(name) has the shape \(view.shape), expected four dimensions")
            }
            guard limits.contains(view.shape[0]) else {
                throw checkpoint.failure("\(name) has \(view.shape[0]) channels, expected \(limits.lowerBound) to \(limits.upperBound)")
            }
            return view.shape[0]
        }
        // How many numbered modules lie under `prefix`, by the names that are there.
        func count(_ prefix: String, atMost limit: Int) throws(ConversionError) -> Int {
            var count = 0
            for name in checkpoint.tensors.keys where name.hasPrefix(prefix) {
                guard let index = Int(name.dropFirst(prefix.count).prefix { $0 != "." }), (0..<limit).contains(index) else {
                    throw checkpoint.failure("\(name) is not expected; modules under \(prefix) are numbered from 0 to \(limit - 1)")
                }
                count = max(count, index + 1)
            }
            guard count > 0 else { throw checkpoint.failure("\(prefix)0 is missing; is this the VQGAN?") }
            return count
        }
        typealias Limits = Configuration.Limits
        let channels = try outputs("encoder.conv_in.weight")
        guard channels.isMultiple(of: Self.normGroups), channels <= Self.mostChannels else {
            throw checkpoint.failure(
                "encoder.conv_in.weight has \(channels) channels, expected a multiple of the \(Self.normGroups) groups of its norms "
                    + "up to \(Self.mostChannels)")
        }
        let levels = try count("encoder.down.", atMost: Self.mostLevels)
        var multipliers: [Int] = []
        for level in 0..<levels {
            let name = "encoder.down.\(level).block.0.conv1.weight", out = try outputs(name)
            guard out.isMultiple(of: channels), out <= Self.largestMultiplier * channels else {
                throw checkpoint.failure(
                    "\(name) has \(out) channels, expected a multiple of \(channels) up to \(Self.largestMultiplier * channels)")
            }
            multipliers.append(out / channels)
        }
        let outputChannels = try outputs("decoder.conv_out.weight")
        guard outputChannels == 3 || outputChannels == 12 else {
            throw checkpoint.failure("decoder.conv_out.weight has \(outputChannels) channels, expected 3, or 12 for the wavelet decoder")
        }
        self.init(
            channels: channels, channelMultipliers: multipliers, residualBlocks: try count("encoder.down.0.block.", atMost: Self.mostBlocks),
            zChannels: try outputs("encoder.conv_out.weight", Limits.latentChannels),
            embeddingSize: try outputs("quant_conv.weight", Limits.latentChannels),
            codes: try outputs("quantize.proj.weight", Limits.codes), outputChannels: outputChannels,
            attentionLevels: (0..<levels).filter { level in
                checkpoint.tensors.keys.contains { $0.hasPrefix("encoder.down.\(level).attn.") }
            })
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
        convolution("decoder.conv_out", width, outputChannels)
        return list
    }
}
