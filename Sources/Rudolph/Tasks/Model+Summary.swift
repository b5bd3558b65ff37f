import CKernels
import CPlatform

/// What is in a model file and what running it takes.
public struct ModelSummary: Sendable {
    /// What a tensor of the file belongs to, in the order of the file.
    enum Kind: CaseIterable {
        case imageEncoder, imageDecoder, embeddings, layers, head, leftText

        init(tensor name: String) {
            let decoder = ["decoder.", "post_quant_conv.", "quantize.embed."]
            if name.hasPrefix(FileSchema.imageTokenizerPrefix) {
                let rest = name.dropFirst(FileSchema.imageTokenizerPrefix.count)
                self = decoder.contains { rest.hasPrefix($0) } ? .imageDecoder : .imageEncoder
            } else if name.hasPrefix("to_logits.") || name.hasPrefix("transformer.final_layernorm.") {
                self = .head
            } else if name.hasPrefix("transformer.") {
                self = .layers
            } else {
                self = name.hasPrefix("captions.left_text.") ? .leftText : .embeddings
            }
        }

        var name: String {
            switch self {
            case .imageEncoder: "image encoder"
            case .imageDecoder: "image decoder"
            case .embeddings: "embeddings"
            case .layers: "layers"
            case .head: "head"
            case .leftText: "left text"
            }
        }
    }

    /// A part of the file: its tensors and their bytes.
    public struct Part: Sendable {
        let kind: Kind
        /// Tensors in the file.
        public internal(set) var tensors = 0
        /// Bytes that they take there.
        public internal(set) var bytes = 0
        /// None in the left text's keys and values.
        public internal(set) var weights = 0

        /// In words, such as "image encoder".
        public var name: String { kind.name }
    }

    /// Size of the model file.
    public let fileBytes: Int
    /// Image encoder, image decoder, embeddings, layers, head, stored left text, in this order; parts that a file lacks have no tensors.
    public let parts: [Part]
    /// Bytes of buffers for the transformer, for keys and values of one sequence, for the image encoder and for the image decoder, 0 where the file
    /// has none.
    public let transformerBytes, cacheBytes, imageEncoderBytes, imageDecoderBytes: UInt64
    /// Memory that is free for it now, 0 when the system does not say.
    public let availableBytes: UInt64
    /// The instruction set whose kernels this process uses, and all that the CPU offers.
    public let kernels, detected: String
    /// How finely activations are quantized that 8-bit layers multiply; nil where the layers have other weights.
    public let precision: ActivationPrecision?
    /// How the image tokenizer would sum.
    public let imageArithmetic: ImageArithmetic
    /// Threads that the sizes of buffers are for.
    public let threads: Int

    /// What the image encoder needs while it is in memory: its part of the file and its buffers.
    public var imageEncoderNeededBytes: UInt64 { fileBytes(.imageEncoder) + imageEncoderBytes }
    /// Likewise the image decoder.
    public var imageDecoderNeededBytes: UInt64 { fileBytes(.imageDecoder) + imageDecoderBytes }

    /// What one caption needs in memory at most where the image encoder is released before the transformer runs, as the program `rudolph` does and
    /// sessions whose `Session.keepsImageTokenizer` is false: the encoder, or the transformer's part of the file, its buffers, the keys and values.
    /// Sessions that keep the encoder, and all while they read another picture, have both: at most `imageEncoderNeededBytes` more.
    public var neededBytes: UInt64 { neededBytes(beside: 0) }

    /// Likewise with `extra` bytes, such as a batch's, while the transformer runs.
    public func neededBytes(beside extra: UInt64) -> UInt64 { max(transformerNeededBytes + extra, imageEncoderNeededBytes) }

    /// What drawings need in memory at most, with `extra` bytes, such as a batch's, while the transformer runs: when the tokens are there, the image
    /// decoder takes the batch's place.
    /// - Parameter isDecoderKept: whether the image decoder is in memory beside the batch: where pictures are shown while they are drawn, and for all
    ///   drawings but the first of a session that keeps it (`Session.keepsImageTokenizer`).
    public func drawingNeededBytes(beside extra: UInt64, isDecoderKept: Bool) -> UInt64 {
        transformerNeededBytes + (isDecoderKept ? extra + imageDecoderNeededBytes : max(extra, imageDecoderNeededBytes))
    }

    private var transformerNeededBytes: UInt64 {
        let weights = parts.reduce(0) { $1.kind == .imageEncoder || $1.kind == .imageDecoder ? $0 : $0 + UInt64($1.bytes) }
        return weights + transformerBytes + cacheBytes
    }

    private func fileBytes(_ kind: Kind) -> UInt64 { parts.reduce(0) { $1.kind == kind ? $0 + UInt64($1.bytes) : $0 } }
}

extension Model {
    /// - Parameters:
    ///   - threads: 1 to `Session.maximumThreads`, or the nearest of these; nil takes what a `Session` would.
    ///   - precision: as in `Session`, as all that follow.
    public func summary(
        threads: Int? = nil, precision: ActivationPrecision? = nil, imageArithmetic: ImageArithmetic? = nil, keyValueFormat: KeyValueFormat? = nil
    ) -> ModelSummary {
        let threads = min(max(1, threads ?? Session.defaultThreads), Session.maximumThreads)
        let parts = ModelSummary.Kind.allCases.map { kind in
            var part = ModelSummary.Part(kind: kind)
            for tensor in file.tensors where ModelSummary.Kind(tensor: tensor.name) == kind {
                part.tensors += 1
                part.bytes += tensor.range.count
                if kind == .leftText { continue }
                part.weights += packedWeights[tensor.name] ?? tensor.range.count / tensor.type.block.bytes * tensor.type.block.elements
            }
            return part
        }
        let features = rk_cpu_features()
        let precision = precision ?? .standard
        let imageArithmetic = imageArithmetic ?? .standard(for: weightType)
        return ModelSummary(
            fileBytes: file.file.bytes.count,
            parts: parts,
            transformerBytes: Transformer.bytes(self, rows: Session.positionsAtOnce, threads: threads, precision: precision),
            cacheBytes: KeyValueCache.bytes(
                configuration, keyValueFormat ?? .standard(for: weightType), .positions(capacity: configuration.sequenceLength)),
            imageEncoderBytes: ImageEncoder.bytes(self, threads: threads, arithmetic: imageArithmetic),
            imageDecoderBytes: ImageDecoder.bytes(self, threads: threads, arithmetic: imageArithmetic),
            availableBytes: rp_available_memory(),
            kernels: String(cString: rk_cpu_name(features)), detected: String(cString: rk_cpu_name(rk_cpu_detected())),
            precision: weightType == .int8 ? precision : nil, imageArithmetic: imageArithmetic, threads: threads)
    }
}

/// The memory of tasks that compute many sequences at once.
public struct BatchSummary: Sendable {
    /// Sequences at once.
    public let count: Int
    /// Keys and values of `count` captions of one picture, beside those that they share.
    public let captionBytes: UInt64
    /// Keys and values of `count` drawings, which keep only what can still be seen; and what they would be if all were kept.
    public let drawingBytes, wholeDrawingBytes: UInt64
    /// Logits that are computed at once while texts or pictures are generated.
    public let captionLogitBytes, drawingLogitBytes: UInt64
    /// Logits that are computed at once where captions are ranked by image or drawings by text, one after the other, however many there are.
    public let rankingLogitBytes: UInt64
}

/// The memory of texts whose perplexities are computed in common passes, as those of classes and of continued texts.
public struct ScoringSummary: Sendable {
    /// Keys and values of the texts, beside those that they share, and logits, at most.
    public let cacheBytes, logitBytes: UInt64
}

extension Model {
    /// Whether tokens can be turned into pictures: files made without the image decoder only read them.
    public var hasImageDecoder: Bool { imageDecoder != nil }

    /// More than any task computes at once, and few enough for sums of bytes.
    private static let mostSequences = 1 << 16

    /// - Parameters:
    ///   - count: candidates of a caption, or pictures drawn at the same time; guided drawings count twice. 1 to 65,536, or the nearest of these.
    ///   - keyValueFormat: as in `Session`.
    public func summary(batch count: Int, keyValueFormat: KeyValueFormat? = nil) -> BatchSummary {
        let count = min(max(1, count), Self.mostSequences)
        let sequences = UInt64(count)
        // The shortest prompt is begin and task token; the text after it is the candidates' own. One candidate goes on in the shared cache.
        let prompt = configuration.taskTokens.isEmpty ? 1 : 2
        let format = keyValueFormat ?? .standard(for: weightType)
        func bytes(_ kind: KeyValueCache.Kind) -> UInt64 { KeyValueCache.bytes(configuration, format, kind) }
        let caption = count <= 1 ? 0 : bytes(.positions(capacity: max(0, configuration.rightTextLength - prompt)))
        return BatchSummary(
            count: count, captionBytes: sequences * caption,
            drawingBytes: sequences * bytes(.drawing),
            wholeDrawingBytes: sequences * bytes(.positions(capacity: configuration.imageLength)),
            captionLogitBytes: Self.logitBytes(count, configuration.textTokenRows),
            drawingLogitBytes: Self.logitBytes(count, configuration.imageVocabularySize),
            rankingLogitBytes: max(
                Self.logitBytes(configuration.imageLength, configuration.imageVocabularySize),
                Self.logitBytes(max(configuration.leftTextLength, configuration.rightTextLength), configuration.textTokenRows)))
    }

    /// - Parameters:
    ///   - count: texts, 1 to 65,536, or the nearest of these.
    ///   - length: positions of the segment that they are in.
    ///   - keyValueFormat: as in `Session`.
    public func summary(scoring count: Int, length: Int, keyValueFormat: KeyValueFormat = .f16) -> ScoringSummary {
        let count = min(max(1, count), Self.mostSequences), length = min(max(1, length), configuration.sequenceLength)
        // Of the texts in a pass only the first and the last may have positions in others. Whole ones are rows of this pass.
        let positions = min(count * length, Session.positionsAtOnce + 2 * length)
        return ScoringSummary(
            cacheBytes: KeyValueCache.bytes(configuration, keyValueFormat, .positions(capacity: positions)),
            logitBytes: Self.logitBytes(count * length, configuration.textRows))
    }

    /// Of as many of these rows as a pass has at most.
    private static func logitBytes(_ rows: Int, _ columns: Int) -> UInt64 {
        4 * UInt64(min(rows, Session.positionsAtOnce) * paddedToPanel(columns))
    }
}
