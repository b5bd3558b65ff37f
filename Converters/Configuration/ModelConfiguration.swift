import Foundation
import Rudolph

/// The sizes of a RUDOLPH transformer that cannot all be read from its tensors.
public struct ModelConfiguration: Equatable, Sendable {
    public var name: String
    public var layers: Int
    public var hiddenSize: Int
    public var heads: Int
    /// Positions of the left text, of one side of the image, of the right text.
    public var leftTextLength: Int
    public var imageTokensPerSide: Int
    public var rightTextLength: Int
    /// Kernels of the convolutional masks: of the inner layers and of the last one.
    public var kernelSize: Int
    public var lastKernelSize: Int
    /// BPE ids; task tokens begin here.
    public var textVocabularySize: Int
    public var textSpecialTokens: Int
    /// Image codes.
    public var imageVocabularySize: Int
    public var imageSpecialTokens: Int
    /// In ascending order of their ids.
    public var taskTokens: [TaskToken]

    public struct TaskToken: Equatable, Sendable {
        public var name: String
        public var id: Int
    }

    /// V_t: BPE ids, special tokens and a pad row for each position of the left text.
    public var textRows: Int { textVocabularySize + leftTextLength + textSpecialTokens }
    /// V_i: image codes and special tokens.
    public var imageRows: Int { imageVocabularySize + imageSpecialTokens }
    /// N: positions of a full sequence.
    public var sequenceLength: Int { leftTextLength + imageTokensPerSide * imageTokensPerSide + rightTextLength }

    static let commonTaskTokens = [
        Rudolph.TaskToken.leftUnknown, Rudolph.TaskToken.rightUnknown, Rudolph.TaskToken.textToImage,
        Rudolph.TaskToken.imageToText, Rudolph.TaskToken.textToText, Rudolph.TaskToken.caption,
    ]
    static let instructionTaskTokens = [
        "<LT_TQA>", "<RT_TQA>", "<LT_MQA>", "<RT_MQA>", "<LT_VQA>", "<RT_VQA>", "<LT_CAP>", "<RT_CAP>", "<LT_GEN>", "<LT_REC>",
        "<RT_REC>",
    ]

    static func taskTokens(_ names: [String], from first: Int) -> [TaskToken] {
        names.enumerated().map { TaskToken(name: $1, id: first + $0) }
    }
}

extension ModelConfiguration {
    /// The published models, smallest first.
    public static let presetNames = ["350M", "350M-v1", "1.3B", "2.7B", "2.7B-FBC2"]

    /// The configuration of a published model, nil when there is none of that name.
    public static func preset(_ name: String) -> ModelConfiguration? {
        func model(
            _ layers: Int, _ hidden: Int, _ heads: Int, texts: (Int, Int), image: Int, kernels: (Int, Int), specials: (Int, Int),
            tasks: [String] = commonTaskTokens
        ) -> ModelConfiguration {
            ModelConfiguration(
                name: "RUDOLPH \(name)", layers: layers, hiddenSize: hidden, heads: heads, leftTextLength: texts.0,
                imageTokensPerSide: image, rightTextLength: texts.1, kernelSize: kernels.0, lastKernelSize: kernels.1,
                textVocabularySize: 16384, textSpecialTokens: specials.0, imageVocabularySize: 8192, imageSpecialTokens: specials.1,
                taskTokens: taskTokens(tasks, from: 16384))
        }
        return switch name {
        case "350M": model(24, 1024, 16, texts: (64, 64), image: 16, kernels: (7, 9), specials: (384, 384))
        case "350M-v1": model(24, 1024, 16, texts: (64, 64), image: 16, kernels: (7, 9), specials: (0, 0), tasks: [])
        case "1.3B": model(24, 2048, 16, texts: (128, 128), image: 32, kernels: (9, 11), specials: (2048, 64))
        case "2.7B": model(32, 2560, 32, texts: (384, 128), image: 24, kernels: (7, 9), specials: (1024, 1024))
        case "2.7B-FBC2":
            model(
                32, 2560, 32, texts: (384, 128), image: 24, kernels: (7, 9), specials: (1024, 1024),
                tasks: commonTaskTokens + instructionTaskTokens)
        default: nil
        }
    }
}

extension ModelConfiguration {
    /// The JSON that trainers keep beside a checkpoint: the arguments of the reference's model class under `model_params` (with its
    /// defaults), the task tokens under `special_tokens`.
    private struct File: Decodable {
        struct Parameters: Decodable {
            let num_layers: JSONInteger
            let vocab_size: JSONInteger
            let hidden_size: JSONInteger
            let num_attention_heads: JSONInteger
            let l_text_seq_length: JSONInteger?
            let r_text_seq_length: JSONInteger?
            let image_tokens_per_dim: JSONInteger?
            let kernel_size: JSONInteger?
            let last_kernel_size: JSONInteger?
            let image_vocab_size: JSONInteger?
            let text_special_tokens: JSONInteger?
            let image_special_tokens: JSONInteger?
            let cogview_sandwich_layernorm: Bool?
            let mlp_activation: String?
        }
        let model_params: Parameters
        let special_tokens: [String: JSONInteger]?
        let name: String?
    }

    /// In bytes; trainers write a few thousand.
    private static let largestFile = 1 << 20

    /// Reads a configuration from a JSON file.
    public init(file path: String) throws(ConversionError) {
        let mapped = try MappedFile(input: path)
        guard mapped.bytes.count <= Self.largestFile else {
            throw .invalid(file: path, reason: "has \(mapped.bytes.count) bytes, expected a configuration of at most \(Self.largestFile)")
        }
        let data = Data(mapped.bytes), file: File
        do {
            file = try JSONDecoder().decode(File.self, from: data)
        } catch {
            throw .invalid(file: path, reason: Self.describe(error, in: data))
        }
        let model = file.model_params
        guard model.cogview_sandwich_layernorm ?? true else {
            throw .invalid(file: path, reason: "cogview_sandwich_layernorm is false; only models with sandwich layer norm are known")
        }
        guard ["gelu", "gelu_jit"].contains(model.mlp_activation ?? "gelu_jit") else {
            throw .invalid(file: path, reason: "mlp_activation is \(model.mlp_activation ?? ""), expected gelu or gelu_jit")
        }
        let left = model.l_text_seq_length?.value ?? 64
        // The reference counts the pad rows of the left text as vocabulary.
        let (vocabulary, overflow) = model.vocab_size.value.subtractingReportingOverflow(left)
        let specials = model.text_special_tokens?.value ?? 0
        let tokens =
            file.special_tokens?.map { TaskToken(name: $0, id: $1.value) }.sorted { ($0.id, $0.name) < ($1.id, $1.name) }
            ?? (specials >= Self.commonTaskTokens.count && !overflow && Configuration.Limits.textVocabularySize.contains(vocabulary)
                ? Self.taskTokens(Self.commonTaskTokens, from: vocabulary) : [])
        self.init(
            name: file.name ?? URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent, layers: model.num_layers.value,
            hiddenSize: model.hidden_size.value, heads: model.num_attention_heads.value, leftTextLength: left,
            imageTokensPerSide: model.image_tokens_per_dim?.value ?? 16, rightTextLength: model.r_text_seq_length?.value ?? 64,
            kernelSize: model.kernel_size?.value ?? 7, lastKernelSize: model.last_kernel_size?.value ?? 9,
            textVocabularySize: overflow ? 0 : vocabulary, textSpecialTokens: specials,
            imageVocabularySize: model.image_vocab_size?.value ?? 8192, imageSpecialTokens: model.image_special_tokens?.value ?? 0,
            taskTokens: tokens)
        do {
            try validate()
        } catch .invalid(_, let reason) {
            throw .invalid(file: path, reason: reason)
        }
    }

    private static func describe(_ error: any Error, in data: Data) -> String {
        do {
            // The decoder does not say where a text stops being JSON.
            _ = try JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed)
            return (error as? DecodingError)?.inWords ?? "is not a JSON configuration: \(error)"
        } catch {
            return "is no JSON: \((error as NSError).userInfo[NSDebugDescriptionErrorKey] ?? error)"
        }
    }

    /// Fails when a size is none that the runtime takes; afterwards products of sizes cannot overflow.
    func validate() throws(ConversionError) {
        func check(_ value: Int, _ name: String, _ range: ClosedRange<Int>) throws(ConversionError) {
            guard range.contains(value) else {
                throw .invalid(file: self.name, reason: "\(name) is \(value), expected \(range.lowerBound) to \(range.upperBound)")
            }
        }
        typealias Limits = Configuration.Limits
        try check(layers, "num_layers", Limits.layers)
        try check(hiddenSize, "hidden_size", Limits.hiddenSize)
        try check(heads, "num_attention_heads", Limits.heads)
        try check(leftTextLength, "l_text_seq_length", Limits.textLength)
        try check(rightTextLength, "r_text_seq_length", Limits.textLength)
        try check(imageTokensPerSide, "image_tokens_per_dim", Limits.imageTokensPerSide)
        try check(kernelSize, "kernel_size", Limits.kernelSize)
        try check(lastKernelSize, "last_kernel_size", Limits.kernelSize)
        try check(textVocabularySize, "vocab_size less l_text_seq_length", Limits.textVocabularySize)
        try check(textSpecialTokens, "text_special_tokens", Limits.specialTokens)
        try check(imageVocabularySize, "image_vocab_size", Limits.codes)
        try check(imageSpecialTokens, "image_special_tokens", Limits.specialTokens)
        guard hiddenSize.isMultiple(of: heads) else {
            throw .invalid(file: name, reason: "hidden_size \(hiddenSize) is not a multiple of num_attention_heads \(heads)")
        }
        let ids = textVocabularySize..<textVocabularySize + textSpecialTokens
        for token in taskTokens where !ids.contains(token.id) {
            throw .invalid(file: name, reason: "task token \(token.name) has the id \(token.id), expected one in \(ids)")
        }
        guard Set(taskTokens.map(\.id)).count == taskTokens.count, Set(taskTokens.map(\.name)).count == taskTokens.count else {
            throw .invalid(file: name, reason: "two task tokens have the same id or name")
        }
    }
}
