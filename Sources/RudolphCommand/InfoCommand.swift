import ArgumentParser
import CommandSupport
import Rudolph

struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Describe a model file, the memory that it needs and the kernels and image arithmetic that this CPU runs it with.",
        discussion: """
            EXAMPLES
              rudolph info my-model.gguf
              rudolph info --batch 48            the memory of 48 candidates or drawings at once
              rudolph info --json                the model that the other commands take by default
            """)

    @Argument(help: ArgumentHelp("The model file; as --model.", valueName: "model"), completion: .file(extensions: ["gguf"]))
    var file: String?

    @Option(help: ArgumentHelp("Say as well what this many candidates of a caption, or drawings at once, take.", valueName: "n"))
    var batch: Int?

    @Flag(help: "Print one JSON object.")
    var json = false

    @OptionGroup var sessionOptions: SessionOptions

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        if file != nil, shared.model != nil { throw ValidationError("The model is given twice, by name and by --model.") }
        try validateCount("--batch", batch, atMost: Session.maximumCandidates)
    }

    func run() throws {
        var shared = shared
        if let file { shared.model = file }
        let model = try shared.openModel()
        let summary = model.summary(
            threads: sessionOptions.threads, precision: sessionOptions.precision, imageArithmetic: sessionOptions.imageArithmetic,
            keyValueFormat: sessionOptions.keyValueFormat)
        var writer = ResultWriter()
        if json {
            writer.line(object(model, summary).text)
        } else {
            for line in lines(model, summary) { writer.line(line) }
            if let batch {
                let batch = model.summary(batch: batch, keyValueFormat: sessionOptions.keyValueFormat)
                for line in lines(model, summary, batch) { writer.line(line) }
            }
        }
        try writer.flush()
    }

    private func lines(_ model: Model, _ summary: ModelSummary) -> [String] {
        let configuration = model.configuration, image = configuration.imageTokenizer
        let side = configuration.imageTokensPerSide, pixels = configuration.imageSide
        let taskTokens = configuration.taskTokens.map { "\($0.name) \($0.id)" }.joined(separator: ", ")
        var lines = [
            "file          \(model.path), \(megabytes(summary.fileBytes))",
            "model         \(model.name), \(model.weightType.name)"
                + (model.calibratedPositions.map { ", calibrated with \($0) positions" } ?? ""),
            "transformer   \(configuration.layers) layers, hidden size \(configuration.hiddenSize), \(configuration.heads) heads, "
                + "convolution masks \(configuration.kernelSize) and \(configuration.lastKernelSize)",
            "sequence      \(configuration.sequenceLength) = \(configuration.leftTextLength) left text + \(side) x \(side) image "
                + "+ \(configuration.rightTextLength) right text",
            "vocabulary    \(configuration.textVocabularySize) text, \(configuration.imageVocabularySize) image",
            "task tokens   \(taskTokens.isEmpty ? "none" : taskTokens)",
            "image         \(pixels) x \(pixels) pixels, \(image.hasWaveletDecoder ? "wavelet" : "plain") decoder",
            "",
            row("part", "tensors", "weights", "size", "bits/weight"),
        ]
        for part in summary.parts where part.tensors > 0 {
            lines.append(row(part.name, "\(part.tensors)", millions(part.weights), megabytes(part.bytes), bits(part.bytes, part.weights)))
        }
        let weights = summary.parts.reduce(0) { $0 + $1.weights }, bytes = summary.parts.reduce(0) { $0 + $1.bytes }
        let tensors = summary.parts.reduce(0) { $0 + $1.tensors }
        // Keys and values are no weights.
        let weightBytes = summary.parts.reduce(0) { $0 + ($1.weights > 0 ? $1.bytes : 0) }
        lines.append(row("all", "\(tensors)", millions(weights), megabytes(bytes), bits(weightBytes, weights)))
        let activations = summary.precision.map { ["activations   \($0.name): \(bits($0))"] } ?? []
        let usual = usualBatch(model)
        let available = summary.availableBytes > 0 ? "; \(megabytes(summary.availableBytes)) available" : ""
        lines += [
            "",
            "memory        \(megabytes(summary.neededBytes)) for a greedy caption, "
                + "\(megabytes(summary.captionBytes(usual, isRanked: true))) for one of \(usual.count) candidates, "
                + "the transformer's part of the file included\(available)",
            "buffers       \(megabytes(summary.transformerBytes)) transformer, "
                + "\(megabytes(summary.cacheBytes)) keys and values (\((sessionOptions.keyValueFormat ?? .standard(for: model.weightType)).name)), "
                + "\(megabytes(summary.imageEncoderBytes)) image encoder"
                + (model.hasImageDecoder ? ", \(megabytes(summary.imageDecoderBytes)) image decoder" : ""),
        ] + activations + [
            "convolutions  \(summary.imageArithmetic.name): \(products(summary.imageArithmetic))",
            "kernels       \(summary.kernels) (this CPU: \(summary.detected)), \(summary.threads) threads",
        ]
        return lines
    }

    private func bits(_ precision: ActivationPrecision) -> String {
        switch precision {
        case .int8: "8 bits"
        case .mixed: "8 bits, 16 for the second matrix of each MLP"
        case .int16: "16 bits"
        }
    }

    private func products(_ arithmetic: ImageArithmetic) -> String {
        (arithmetic == .direct ? "" : "Winograd's transform, ") + "products of \(arithmetic.hasIntegerProducts ? "16-bit integers" : "floats")"
    }

    /// The candidates of a caption when nothing is said.
    private func usualBatch(_ model: Model) -> BatchSummary {
        model.summary(batch: CaptionOptions().candidates, keyValueFormat: sessionOptions.keyValueFormat)
    }

    private func lines(_ model: Model, _ summary: ModelSummary, _ batch: BatchSummary) -> [String] {
        var lines = [
            "",
            "\(batch.count) captions    \(megabytes(summary.captionBytes(batch, isRanked: true))): "
                + "\(megabytes(batch.captionBytes)) keys and values of their own, \(megabytes(batch.captionLogitBytes(isRanked: true))) logits",
        ]
        if model.hasImageDecoder {
            lines.append(
                "\(batch.count) drawings    \(megabytes(summary.drawingBytes(batch))): \(megabytes(batch.drawingBytes)) keys and values of their own "
                    + "(\(megabytes(batch.wholeDrawingBytes)) if none were dropped), \(megabytes(batch.drawingLogitBytes)) "
                    + "logits, both twice if they are guided; then \(megabytes(summary.imageDecoderNeededBytes)) image decoder")
        }
        return lines
    }

    private func object(_ model: Model, _ summary: ModelSummary) -> JSONObject {
        let configuration = model.configuration
        var object = JSONObject()
        object.set("file", model.path)
        object.set("file_bytes", summary.fileBytes)
        object.set("name", model.name)
        object.set("weight_type", model.weightType.name)
        if let positions = model.calibratedPositions { object.set("calibrated_positions", positions) }
        object.set("layers", configuration.layers)
        object.set("hidden_size", configuration.hiddenSize)
        object.set("heads", configuration.heads)
        object.set("kernel_size", configuration.kernelSize)
        object.set("last_kernel_size", configuration.lastKernelSize)
        object.set("left_text_length", configuration.leftTextLength)
        object.set("image_tokens_per_side", configuration.imageTokensPerSide)
        object.set("right_text_length", configuration.rightTextLength)
        object.set("text_vocabulary_size", configuration.textVocabularySize)
        object.set("image_vocabulary_size", configuration.imageVocabularySize)
        object.set("image_side", configuration.imageSide)
        var taskTokens = JSONObject()
        for token in configuration.taskTokens { taskTokens.set(token.name, token.id) }
        object.set("task_tokens", taskTokens)
        object.set("parts", summary.parts.map { part in
            var entry = JSONObject()
            entry.set("name", part.name)
            entry.set("tensors", part.tensors)
            entry.set("weights", part.weights)
            entry.set("bytes", part.bytes)
            return entry
        })
        object.set("needed_bytes", Int(clamping: summary.neededBytes))
        object.set("usual_caption_needed_bytes", Int(clamping: summary.captionBytes(usualBatch(model), isRanked: true)))
        object.set("available_bytes", Int(clamping: summary.availableBytes))
        object.set("transformer_buffer_bytes", Int(clamping: summary.transformerBytes))
        object.set("cache_bytes", Int(clamping: summary.cacheBytes))
        object.set("image_encoder_buffer_bytes", Int(clamping: summary.imageEncoderBytes))
        object.set("image_decoder_buffer_bytes", Int(clamping: summary.imageDecoderBytes))
        if let batch {
            let batch = model.summary(batch: batch, keyValueFormat: sessionOptions.keyValueFormat)
            var entry = JSONObject()
            entry.set("count", batch.count)
            entry.set("caption_needed_bytes", Int(clamping: summary.captionBytes(batch, isRanked: true)))
            entry.set("caption_cache_bytes", Int(clamping: batch.captionBytes))
            if model.hasImageDecoder {
                entry.set("drawing_needed_bytes", Int(clamping: summary.drawingBytes(batch)))
                entry.set("drawing_cache_bytes", Int(clamping: batch.drawingBytes))
                entry.set("whole_drawing_cache_bytes", Int(clamping: batch.wholeDrawingBytes))
            }
            object.set("batch", entry)
        }
        object.set("kernels", summary.kernels)
        object.set("cpu", summary.detected)
        if let precision = summary.precision { object.set("activations", precision.name) }
        object.set("image_arithmetic", summary.imageArithmetic.name)
        object.set("image_products", summary.imageArithmetic.hasIntegerProducts ? "int16" : "float")
        object.set("threads", summary.threads)
        return object
    }

    private func row(_ name: String, _ columns: String...) -> String {
        func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }
        return columns.reduce(name + spaces(14 - name.count)) { $0 + spaces(12 - $1.count) + $1 }
    }

    private func millions(_ count: Int) -> String { "\(decimal(Double(count) / 1e6, places: 2)) M" }
    private func bits(_ bytes: Int, _ weights: Int) -> String { weights > 0 ? decimal(Double(bytes) * 8 / Double(weights), places: 2) : "" }
}
