import CKernels

/// Norm, swish, convolution, twice; a 1x1 convolution on the side where the number of channels changes.
struct ResidualBlock {
    let norm1, norm2: rk_group_norm
    let conv1, conv2: rk_conv
    let shortcut: rk_conv?
}

/// Attention with one head over all positions of the picture.
struct AttentionBlock {
    let norm: rk_group_norm
    let query, key, value, output: rk_conv
}

struct MiddleBlocks {
    let first, second: ResidualBlock
    let attention: AttentionBlock
}

/// The layers of one resolution.
struct ImageLevel {
    let blocks: [ResidualBlock]
    /// One behind each block, or none.
    let attention: [AttentionBlock]
    /// Leads to the next level; nil in the last.
    let resample: rk_conv?
}

/// The weights of the encoder, where they lie in the mapped file.
struct ImageEncoderWeights {
    let convIn, convOut, quantConv, codes: rk_conv
    /// From full resolution down.
    let levels: [ImageLevel]
    let middle: MiddleBlocks
    let normOut: rk_group_norm
    /// The part of the file that holds them.
    let range: Range<Int>?
    /// All convolutions, to size buffers.
    let convolutions: [rk_conv]

    init(_ binder: TensorBinder, _ configuration: ImageTokenizerConfiguration) throws(RudolphError) {
        var builder = ImageWeightsBuilder(binder: binder)
        let name = "vqgan.encoder."
        convIn = try builder.conv(name + "conv_in", out: configuration.channels, in: 3, kernel: 3)
        var levels: [ImageLevel] = []
        var channels = configuration.channels
        for level in 0..<configuration.levels {
            let out = configuration.channels(atLevel: level)
            let downsample =
                level == configuration.levels - 1
                ? nil : try builder.conv(name + "down.\(level).downsample.conv", out: out, in: out, kernel: 3, stride: 2)
            levels.append(
                try builder.level(
                    name + "down.\(level).", blocks: configuration.residualBlocks, in: channels, out: out,
                    hasAttention: configuration.attentionLevels.contains(level), resample: downsample))
            channels = out
        }
        self.levels = levels
        middle = try builder.middle(name + "mid.", channels)
        normOut = try builder.norm(name + "norm_out", channels)
        convOut = try builder.conv(name + "conv_out", out: configuration.zChannels, in: channels, kernel: 3)
        quantConv = try builder.conv("vqgan.quant_conv", out: configuration.embeddingSize, in: configuration.zChannels, kernel: 1)
        codes = try builder.conv("vqgan.quantize.proj", out: configuration.codes, in: configuration.embeddingSize, kernel: 1)
        convolutions = builder.convolutions
        range = builder.range
    }
}

/// The weights of the decoder.
struct ImageDecoderWeights {
    let codes: EmbeddingTable
    let postQuantConv, convIn, convOut: rk_conv
    let middle: MiddleBlocks
    /// From the lowest resolution to the highest.
    let levels: [ImageLevel]
    let normOut: rk_group_norm
    let range: Range<Int>?
    let convolutions: [rk_conv]

    init(_ binder: TensorBinder, _ configuration: ImageTokenizerConfiguration) throws(RudolphError) {
        var builder = ImageWeightsBuilder(binder: binder)
        let name = "vqgan.decoder."
        codes = try binder.table("vqgan.quantize.embed", rows: configuration.codes, columns: configuration.embeddingSize)
        postQuantConv = try builder.conv(
            "vqgan.post_quant_conv", out: configuration.zChannels, in: configuration.embeddingSize, kernel: 1)
        var channels = configuration.channels(atLevel: configuration.levels - 1)
        convIn = try builder.conv(name + "conv_in", out: channels, in: configuration.zChannels, kernel: 3)
        middle = try builder.middle(name + "mid.", channels)
        var levels: [ImageLevel] = []
        for level in (0..<configuration.levels).reversed() {
            let out = configuration.channels(atLevel: level)
            let upsample =
                level == 0 ? nil : try builder.conv(name + "up.\(level).upsample.conv", out: out, in: out, kernel: 3, upsample: true)
            levels.append(
                try builder.level(
                    name + "up.\(level).", blocks: configuration.residualBlocks + 1, in: channels, out: out,
                    hasAttention: configuration.attentionLevels.contains(level), resample: upsample))
            channels = out
        }
        self.levels = levels
        normOut = try builder.norm(name + "norm_out", channels)
        convOut = try builder.conv(name + "conv_out", out: configuration.outputChannels, in: channels, kernel: 3)
        convolutions = builder.convolutions
        range = builder.range
    }
}

/// Binds the tensors of the VQGAN and remembers what part of the file they take.
struct ImageWeightsBuilder {
    let binder: TensorBinder
    private(set) var convolutions: [rk_conv] = []
    private(set) var range: Range<Int>? = nil

    init(binder: TensorBinder) {
        self.binder = binder
    }

    mutating func conv(
        _ name: String, out: Int, in channels: Int, kernel: Int, stride: Int = 1, upsample: Bool = false
    ) throws(RudolphError) -> rk_conv {
        let linear = try binder.linear(name, rows: out, columns: kernel * kernel * channels)
        guard !linear.type.isInteger else {
            throw .invalidFile("\(binder.path): tensor \(name).weight is \(linear.type.name), expected f16 or f32")
        }
        let extent = try binder.range(of: name + ".weight")
        range = range.map { min($0.lowerBound, extent.lowerBound)..<max($0.upperBound, extent.upperBound) } ?? extent
        let conv = rk_conv(
            weights: linear.matrix, bias: linear.bias, kernel: Int32(kernel), stride: Int32(stride),
            // A stride of 2 pads only after the last row and column.
            padding: kernel == 3 && stride == 1 ? 1 : 0, upsample: upsample ? 1 : 0, in_channels: Int32(channels), scale: nil,
            shift: nil, algorithm: RK_CONV_DIRECT)
        convolutions.append(conv)
        return conv
    }

    func norm(_ name: String, _ channels: Int) throws(RudolphError) -> rk_group_norm {
        rk_group_norm(
            weight: try binder.floats(name + ".weight", count: channels), bias: try binder.floats(name + ".bias", count: channels),
            channels: Int32(channels), groups: Int32(ImageTokenizerConfiguration.normGroups), epsilon: 1e-6)
    }

    mutating func residual(_ name: String, in channels: Int, out: Int) throws(RudolphError) -> ResidualBlock {
        ResidualBlock(
            norm1: try norm(name + "norm1", channels), norm2: try norm(name + "norm2", out),
            conv1: try conv(name + "conv1", out: out, in: channels, kernel: 3),
            conv2: try conv(name + "conv2", out: out, in: out, kernel: 3),
            shortcut: channels == out ? nil : try conv(name + "nin_shortcut", out: out, in: channels, kernel: 1))
    }

    mutating func attention(_ name: String, _ channels: Int) throws(RudolphError) -> AttentionBlock {
        AttentionBlock(
            norm: try norm(name + "norm", channels),
            query: try conv(name + "q", out: channels, in: channels, kernel: 1),
            key: try conv(name + "k", out: channels, in: channels, kernel: 1),
            value: try conv(name + "v", out: channels, in: channels, kernel: 1),
            output: try conv(name + "proj_out", out: channels, in: channels, kernel: 1))
    }

    mutating func level(
        _ name: String, blocks count: Int, in channels: Int, out: Int, hasAttention: Bool, resample: rk_conv?
    ) throws(RudolphError) -> ImageLevel {
        var blocks: [ResidualBlock] = []
        var attention: [AttentionBlock] = []
        for index in 0..<count {
            blocks.append(try residual(name + "block.\(index).", in: index == 0 ? channels : out, out: out))
            if hasAttention { attention.append(try self.attention(name + "attn.\(index).", out)) }
        }
        return ImageLevel(blocks: blocks, attention: attention, resample: resample)
    }

    mutating func middle(_ name: String, _ channels: Int) throws(RudolphError) -> MiddleBlocks {
        MiddleBlocks(
            first: try residual(name + "block_1.", in: channels, out: channels),
            second: try residual(name + "block_2.", in: channels, out: channels),
            attention: try attention(name + "attn_1.", channels))
    }
}
