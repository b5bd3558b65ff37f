/// The names and numbers of the packed file that Docs/FORMAT.md fixes.
package enum FileSchema {
    package static let architecture = "rudolph"
    /// int4 panels had half scales in version 1.
    package static func version(of type: WeightType) -> Int { type == .int4 ? 2 : 1 }

    package enum Key {
        package static let architecture = "general.architecture"
        package static let name = "general.name"
        package static let alignment = "general.alignment"
        package static let version = "rudolph.format_version"
        package static let weightType = "rudolph.weight_type"
        package static let layers = "rudolph.layers"
        package static let hiddenSize = "rudolph.hidden_size"
        package static let heads = "rudolph.heads"
        package static let leftTextLength = "rudolph.left_text_length"
        package static let imageTokensPerSide = "rudolph.image_tokens_per_side"
        package static let rightTextLength = "rudolph.right_text_length"
        package static let kernelSize = "rudolph.kernel_size"
        package static let lastKernelSize = "rudolph.last_kernel_size"
        package static let textVocabularySize = "rudolph.text_vocabulary_size"
        package static let textSpecialTokens = "rudolph.text_special_tokens"
        package static let imageVocabularySize = "rudolph.image_vocabulary_size"
        package static let imageSpecialTokens = "rudolph.image_special_tokens"
        package static let taskTokenNames = "rudolph.task_tokens.names"
        package static let taskTokenIDs = "rudolph.task_tokens.ids"
        package static let channels = "rudolph.vqgan.channels"
        package static let channelMultipliers = "rudolph.vqgan.channel_multipliers"
        package static let residualBlocks = "rudolph.vqgan.residual_blocks"
        package static let attentionLevels = "rudolph.vqgan.attention_levels"
        package static let zChannels = "rudolph.vqgan.z_channels"
        package static let embeddingSize = "rudolph.vqgan.embedding_size"
        package static let codes = "rudolph.vqgan.codes"
        package static let outChannels = "rudolph.vqgan.out_channels"
        package static let codepoints = "rudolph.tokenizer.codepoints"
        package static let codepointIDs = "rudolph.tokenizer.codepoint_ids"
        package static let rules = "rudolph.tokenizer.rules"
        package static let unk = "rudolph.tokenizer.unk_id"
        package static let pad = "rudolph.tokenizer.pad_id"
        package static let bos = "rudolph.tokenizer.bos_id"
        package static let eos = "rudolph.tokenizer.eos_id"
        package static let packedNames = "rudolph.packed.names"
        package static let packedTypes = "rudolph.packed.types"
        package static let packedRows = "rudolph.packed.rows"
        package static let packedColumns = "rudolph.packed.columns"
        package static let calibratedPositions = "rudolph.calibration.positions"
        package static let leftTextActivations = "rudolph.left_text.activations"
        package static let tensorHashes = "rudolph.sha256.tensors"
        package static let headerHash = "rudolph.sha256.header"
    }

    /// What stands before the names of the image tokenizer's tensors.
    package static let imageTokenizerPrefix = "vqgan."
    /// The head's rows, split.
    package static let textHead = "to_logits.1.text"
    package static let imageHead = "to_logits.1.image"
    /// Keys and values of the left text of plain captions.
    package static let captionLeftText = "captions.left_text.keys_values"
    /// Where those are int8.
    package static let captionLeftTextScales = "captions.left_text.scales"
}
