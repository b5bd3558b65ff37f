import CKernels
import CPlatform

/// What is in a model file and what running it takes.
public struct ModelSummary: Sendable {
    /// A part of the file: its tensors and their bytes.
    public struct Part: Sendable {
        public let name: String
        public let tensors: Int
        public let bytes: Int
        public let weights: Int
    }

    public let fileBytes: Int
    public let parts: [Part]
    /// Bytes of buffers for the transformer, for keys and values of one sequence, and for the image encoder.
    public let transformerBytes, cacheBytes, imageEncoderBytes: UInt64
    /// Memory that is free for it now, 0 when the system does not say.
    public let availableBytes: UInt64
    /// The instruction set whose kernels this process uses, and all that the CPU offers.
    public let kernels, detected: String
    public let threads: Int

    /// What one caption needs in memory at most: the transformer's part of the file, the buffers, the keys and values.
    public var neededBytes: UInt64 { neededBytes(beside: 0) }

    /// Likewise with `extra` bytes, such as a batch's, while the transformer runs.
    public func neededBytes(beside extra: UInt64) -> UInt64 {
        var weights: UInt64 = 0
        for part in parts where part.name != "image encoder" && part.name != "image decoder" { weights += UInt64(part.bytes) }
        return max(weights + transformerBytes + cacheBytes + extra, imageEncoderBytes)
    }
}

extension Model {
    /// - Parameters:
    ///   - threads: as in `Session`.
    ///   - keyValueFormat: as in `Session`.
    public func summary(threads: Int? = nil, keyValueFormat: KeyValueFormat = .f16) -> ModelSummary {
        let threads = max(1, threads ?? Int(rk_default_threads()))
        var parts: [(name: String, tensors: Int, bytes: Int, weights: Int)] = [
            ("image encoder", 0, 0, 0), ("image decoder", 0, 0, 0), ("embeddings", 0, 0, 0), ("layers", 0, 0, 0), ("head", 0, 0, 0),
            ("left text", 0, 0, 0),
        ]
        for tensor in file.tensors {
            let index: Int
            if tensor.name.hasPrefix("vqgan.decoder.") || tensor.name.hasPrefix("vqgan.post_quant_conv.") || tensor.name.hasPrefix("vqgan.quantize.embed.") {
                index = 1
            } else if tensor.name.hasPrefix("vqgan.") {
                index = 0
            } else if tensor.name.hasPrefix("to_logits.") || tensor.name.hasPrefix("transformer.final_layernorm.") {
                index = 4
            } else if tensor.name.hasPrefix("transformer.") {
                index = 3
            } else if tensor.name == StoredKeysAndValues.name {
                index = 5
            } else {
                index = 2
            }
            parts[index].tensors += 1
            parts[index].bytes += tensor.range.count
            if index == 5 { continue } // no weights
            parts[index].weights += packedWeights[tensor.name] ?? tensor.range.count / tensor.type.block.bytes * tensor.type.block.elements
        }
        let features = rk_cpu_features()
        return ModelSummary(
            fileBytes: file.file.bytes.count,
            parts: parts.map { ModelSummary.Part(name: $0.name, tensors: $0.tensors, bytes: $0.bytes, weights: $0.weights) },
            transformerBytes: Transformer.bytes(configuration, rows: Session.positionsAtOnce, threads: threads, precision: .standard(for: weightType)),
            cacheBytes: KeyValueCache.bytes(configuration, keyValueFormat, .positions(capacity: configuration.sequenceLength)),
            imageEncoderBytes: ImageEncoder.bytes(self, threads: threads), availableBytes: rp_available_memory(),
            kernels: String(cString: rk_cpu_name(features)), detected: String(cString: rk_cpu_name(rk_cpu_detected())),
            threads: threads)
    }
}

/// The memory of tasks that compute many sequences at once.
public struct BatchSummary: Sendable {
    public let count: Int
    /// Keys and values of `count` captions of one picture, beside those that they share.
    public let captionBytes: UInt64
    /// Keys and values of `count` drawings, which keep only what can still be seen; and what they would be if all were kept.
    public let drawingBytes, wholeDrawingBytes: UInt64
    /// Logits that are computed at once.
    public let captionLogitBytes, drawingLogitBytes: UInt64
}

extension Model {
    /// Whether tokens can be turned into pictures: files made without the image decoder only read them.
    public var hasImageDecoder: Bool { imageDecoder != nil }

    /// - Parameters:
    ///   - count: candidates of a caption, or pictures drawn at the same time; guided drawings count twice. At least 1.
    ///   - keyValueFormat: as in `Session`.
    public func summary(batch count: Int, keyValueFormat: KeyValueFormat = .f16) -> BatchSummary {
        let sequences = UInt64(max(1, count))
        let rows = UInt64(min(max(1, count), Session.positionsAtOnce))
        // The shortest prompt is begin and task token; the text after it is the candidates' own. One candidate goes on in the shared cache.
        let prompt = configuration.taskTokens.isEmpty ? 1 : 2
        func bytes(_ kind: KeyValueCache.Kind) -> UInt64 { KeyValueCache.bytes(configuration, keyValueFormat, kind) }
        let caption = count <= 1 ? 0 : bytes(.positions(capacity: max(0, configuration.rightTextLength - prompt)))
        return BatchSummary(
            count: max(1, count), captionBytes: sequences * caption,
            drawingBytes: sequences * bytes(.drawing),
            wholeDrawingBytes: sequences * bytes(.positions(capacity: configuration.imageLength)),
            captionLogitBytes: 4 * rows * UInt64(configuration.textRows - configuration.leftTextLength),
            drawingLogitBytes: 4 * rows * UInt64(configuration.imageVocabularySize))
    }
}
