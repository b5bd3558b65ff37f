/// The names and numbers of the packed file that docs/FORMAT.md fixes.
enum FileSchema {
    static let architecture = "rudolph"
    static let version: UInt32 = 1

    enum Key {
        static let architecture = "general.architecture"
        static let name = "general.name"
        static let alignment = "general.alignment"
        static let version = "rudolph.format_version"
        static let weightType = "rudolph.weight_type"
        static let layers = "rudolph.layers"
        static let hiddenSize = "rudolph.hidden_size"
        static let heads = "rudolph.heads"
        static let leftTextLength = "rudolph.left_text_length"
        static let imageTokensPerSide = "rudolph.image_tokens_per_side"
        static let rightTextLength = "rudolph.right_text_length"
        static let kernelSize = "rudolph.kernel_size"
        static let lastKernelSize = "rudolph.last_kernel_size"
        static let textVocabularySize = "rudolph.text_vocabulary_size"
        static let textSpecialTokens = "rudolph.text_special_tokens"
        static let imageVocabularySize = "rudolph.image_vocabulary_size"
        static let imageSpecialTokens = "rudolph.image_special_tokens"
        static let taskTokenNames = "rudolph.task_tokens.names"
        static let taskTokenIDs = "rudolph.task_tokens.ids"
        static let channels = "rudolph.vqgan.channels"
        static let channelMultipliers = "rudolph.vqgan.channel_multipliers"
        static let residualBlocks = "rudolph.vqgan.residual_blocks"
        static let attentionLevels = "rudolph.vqgan.attention_levels"
        static let zChannels = "rudolph.vqgan.z_channels"
        static let embeddingSize = "rudolph.vqgan.embedding_size"
        static let codes = "rudolph.vqgan.codes"
        static let outChannels = "rudolph.vqgan.out_channels"
        static let codepoints = "rudolph.tokenizer.codepoints"
        static let codepointIDs = "rudolph.tokenizer.codepoint_ids"
        static let rules = "rudolph.tokenizer.rules"
        static let unk = "rudolph.tokenizer.unk_id"
        static let pad = "rudolph.tokenizer.pad_id"
        static let bos = "rudolph.tokenizer.bos_id"
        static let eos = "rudolph.tokenizer.eos_id"
        static let packedNames = "rudolph.packed.names"
        static let packedTypes = "rudolph.packed.types"
        static let packedRows = "rudolph.packed.rows"
        static let packedColumns = "rudolph.packed.columns"
        static let calibratedPositions = "rudolph.calibration.positions"
        static let tensorHashes = "rudolph.sha256.tensors"
        static let headerHash = "rudolph.sha256.header"
    }

    /// What stands before the names of the image tokenizer's tensors.
    static let imageTokenizerPrefix = "vqgan."
    /// The head's rows, split.
    static let textHead = "to_logits.1.text"
    static let imageHead = "to_logits.1.image"
    /// Keys and values of the left text of plain captions, and its task token.
    static let captionLeftText = "captions.left_text.keys_values"
    static let captionTaskToken = "<LT_I2T>"
    /// A digest before it is known.
    static let noHash = String(repeating: "0", count: 64)
}
