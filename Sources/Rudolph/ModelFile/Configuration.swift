/// The shape of a RUDOLPH model, as its file states it.
public struct Configuration: Sendable {
    /// Transformer layers, width of the residual stream, attention heads.
    public let layers, hiddenSize, heads: Int
    /// Positions of left text, image tokens on each side of the square, positions of right text.
    public let leftTextLength, imageTokensPerSide, rightTextLength: Int
    /// Side of the windows that the convolution masks see; the second is the last layer's.
    public let kernelSize, lastKernelSize: Int
    /// BPE ids; task tokens start here.
    public let textVocabularySize: Int
    /// Ids behind the BPE ids, of which task tokens take the first.
    public let textSpecialTokens: Int
    /// Codes of the image tokenizer.
    public let imageVocabularySize: Int
    /// Ids behind the codes, which pictures do not use.
    public let imageSpecialTokens: Int
    /// Names and ids of the task tokens, such as `<LT_I2T>`; empty in the first release of 350M.
    public let taskTokens: [(name: String, id: Int)]
    /// What turns pictures into tokens and back.
    public let imageTokenizer: ImageTokenizerConfiguration

    /// Image tokens of a picture.
    public var imageLength: Int { imageTokensPerSide * imageTokensPerSide }
    /// Positions of left text, picture and right text together.
    public var sequenceLength: Int { leftTextLength + imageLength + rightTextLength }
    /// Where the right text starts.
    public var rightTextStart: Int { leftTextLength + imageLength }
    /// Rows of the text embedding: BPE ids, special tokens, and one pad row for each position of the left text.
    public var textRows: Int { textTokenRows + leftTextLength }
    /// Those before the pads'.
    var textTokenRows: Int { textVocabularySize + textSpecialTokens }
    /// Rows of the image embedding: codes and special tokens.
    public var imageRows: Int { imageVocabularySize + imageSpecialTokens }
    /// Elements of an attention head.
    public var headSize: Int { hiddenSize / heads }
    /// Side of the pictures that the model reads, in pixels.
    public var imageSide: Int { imageTokensPerSide * imageTokenizer.pixelsPerToken }

    /// Side of the pictures that the model draws, in pixels: `imageSide`, or twice that with a wavelet decoder.
    public var drawingSide: Int { imageSide * (imageTokenizer.hasWaveletDecoder ? 2 : 1) }

    /// The mask of a layer.
    public func mask(layer index: Int) -> Mask {
        Mask(layer: index, of: layers, kernel: kernelSize, lastKernel: lastKernelSize)
    }

    /// The id of a task token, such as `<LT_I2T>`; nil where the model has none of that name.
    public func taskToken(_ name: String) -> Int? {
        for token in taskTokens where token.name == name { return token.id }
        return nil
    }

    /// Throws unless these are the `imageLength` codes of a picture.
    func validate(imageTokens tokens: [Int]) throws(RudolphError) {
        guard tokens.count == imageLength else { throw RudolphError("\(tokens.count) image tokens, expected \(imageLength)") }
        for token in tokens where !(0..<imageVocabularySize).contains(token) {
            throw RudolphError("image token \(token), expected 0 to \(imageVocabularySize - 1)")
        }
    }

    package init(_ file: GGUF) throws(RudolphError) {
        typealias Key = FileSchema.Key
        let path = file.file.path
        layers = try file.integer(Key.layers, in: Limits.layers)
        hiddenSize = try file.integer(Key.hiddenSize, in: Limits.hiddenSize)
        heads = try file.integer(Key.heads, in: Limits.heads)
        leftTextLength = try file.integer(Key.leftTextLength, in: Limits.textLength)
        imageTokensPerSide = try file.integer(Key.imageTokensPerSide, in: Limits.imageTokensPerSide)
        rightTextLength = try file.integer(Key.rightTextLength, in: Limits.textLength)
        kernelSize = try file.integer(Key.kernelSize, in: Limits.kernelSize)
        lastKernelSize = try file.integer(Key.lastKernelSize, in: Limits.kernelSize)
        textVocabularySize = try file.integer(Key.textVocabularySize, in: Limits.textVocabularySize)
        textSpecialTokens = try file.integer(Key.textSpecialTokens, in: Limits.specialTokens)
        imageVocabularySize = try file.integer(Key.imageVocabularySize, in: Limits.codes)
        imageSpecialTokens = try file.integer(Key.imageSpecialTokens, in: Limits.specialTokens)
        guard hiddenSize % heads == 0 else {
            throw .invalidFile("\(path): hidden size \(hiddenSize) is no multiple of the \(heads) heads")
        }
        let names = try file.strings(Key.taskTokenNames)
        let ids = try file.integers(Key.taskTokenIDs)
        guard names.count == ids.count else {
            throw .invalidFile("\(path): \(names.count) names of task tokens but \(ids.count) ids")
        }
        var tokens: [(name: String, id: Int)] = []
        for (name, id) in zip(names, ids) {
            guard Int(id) >= textVocabularySize, Int(id) < textVocabularySize + textSpecialTokens else {
                throw .invalidFile(
                    "\(path): task token \(name) has id \(id), expected \(textVocabularySize) to \(textVocabularySize + textSpecialTokens - 1)")
            }
            tokens.append((name, Int(id)))
        }
        taskTokens = tokens
        imageTokenizer = try ImageTokenizerConfiguration(file)
        guard imageTokenizer.codes == imageVocabularySize else {
            throw .invalidFile(
                "\(path): the image tokenizer has \(imageTokenizer.codes) codes but the transformer \(imageVocabularySize)")
        }
    }
}

extension Configuration {
    /// What its numbers may be. Products of a few of them fit in an integer.
    package enum Limits {
        package static var layers: ClosedRange<Int> { 1...1024 }
        package static var hiddenSize: ClosedRange<Int> { 1...65536 }
        package static var heads: ClosedRange<Int> { 1...1024 }
        package static var textLength: ClosedRange<Int> { 1...65536 }
        package static var imageTokensPerSide: ClosedRange<Int> { 1...256 }
        package static var kernelSize: ClosedRange<Int> { 1...1023 }
        package static var textVocabularySize: ClosedRange<Int> { 4...(1 << 24) }
        package static var codes: ClosedRange<Int> { 1...(1 << 24) }
        package static var specialTokens: ClosedRange<Int> { 0...(1 << 20) }
        /// Of the image tokenizer's encoder, and of its codes.
        package static var latentChannels: ClosedRange<Int> { 1...65536 }
    }
}

/// The shape of the VQGAN that turns pictures into tokens and back.
public struct ImageTokenizerConfiguration: Equatable, Sendable {
    /// Channels at full resolution; each level multiplies them.
    public let channels: Int
    /// One for each level, from full resolution down.
    public let channelMultipliers: [Int]
    /// Residual blocks of an encoder level; decoder levels have one more.
    public let residualBlocks: Int
    /// Channels of the encoder's output, elements of a code, and codes.
    public let zChannels, embeddingSize, codes: Int
    /// 3, or 12 for the decoder that ends in an inverse wavelet transform and doubles the picture's side.
    public let outputChannels: Int
    /// Levels, counted from full resolution, that have attention blocks.
    public let attentionLevels: [Int]

    /// Four bands of three colours.
    private static let waveletChannels = 12
    /// Of channels, in every group norm.
    package static let normGroups = 32
    package static let mostChannels = 4096, mostLevels = 8, mostBlocks = 64, largestMultiplier = 64

    /// Whether the decoder ends in an inverse wavelet transform.
    public var hasWaveletDecoder: Bool { outputChannels == Self.waveletChannels }
    /// Resolutions, each half of the one before.
    public var levels: Int { channelMultipliers.count }
    /// A token stands for a square of this many pixels a side.
    public var pixelsPerToken: Int { 1 << (levels - 1) }

    func channels(atLevel level: Int) -> Int { channels * channelMultipliers[level] }

    /// Sizes that the caller has checked.
    package init(
        channels: Int, channelMultipliers: [Int], residualBlocks: Int, zChannels: Int, embeddingSize: Int, codes: Int, outputChannels: Int,
        attentionLevels: [Int]
    ) {
        self.channels = channels
        self.channelMultipliers = channelMultipliers
        self.residualBlocks = residualBlocks
        self.zChannels = zChannels
        self.embeddingSize = embeddingSize
        self.codes = codes
        self.outputChannels = outputChannels
        self.attentionLevels = attentionLevels
    }

    init(_ file: GGUF) throws(RudolphError) {
        typealias Key = FileSchema.Key
        let path = file.file.path
        channels = try file.integer(Key.channels, in: Self.normGroups...Self.mostChannels)
        residualBlocks = try file.integer(Key.residualBlocks, in: 1...Self.mostBlocks)
        zChannels = try file.integer(Key.zChannels, in: Configuration.Limits.latentChannels)
        embeddingSize = try file.integer(Key.embeddingSize, in: Configuration.Limits.latentChannels)
        codes = try file.integer(Key.codes, in: Configuration.Limits.codes)
        outputChannels = try file.integer(Key.outChannels, in: 3...Self.waveletChannels)
        guard outputChannels == 3 || outputChannels == Self.waveletChannels else {
            throw .invalidFile("\(path): \(Key.outChannels) is \(outputChannels), expected 3 or \(Self.waveletChannels)")
        }
        let multipliers = try file.integers(Key.channelMultipliers)
        guard (1...Self.mostLevels).contains(multipliers.count) else {
            throw .invalidFile("\(path): \(Key.channelMultipliers) has \(multipliers.count) levels, expected 1 to \(Self.mostLevels)")
        }
        guard channels.isMultiple(of: Self.normGroups) else {
            throw .invalidFile("\(path): \(Key.channels) is \(channels), expected a multiple of the \(Self.normGroups) groups of its norms")
        }
        for multiplier in multipliers where !(1...UInt32(Self.largestMultiplier)).contains(multiplier) {
            throw .invalidFile("\(path): \(Key.channelMultipliers) contains \(multiplier), expected 1 to \(Self.largestMultiplier)")
        }
        channelMultipliers = multipliers.map { Int($0) }
        let attention = try file.integers(Key.attentionLevels)
        for level in attention where Int(level) >= multipliers.count {
            throw .invalidFile("\(path): \(Key.attentionLevels) contains \(level), expected less than \(multipliers.count)")
        }
        attentionLevels = attention.map { Int($0) }
    }
}
