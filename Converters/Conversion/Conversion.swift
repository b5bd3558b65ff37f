import Foundation
import Rudolph

/// A conversion of a float checkpoint to one packed file.
public struct Conversion: Sendable {
    /// The transformer's checkpoint, the VQGAN's, the YouTokenToMe model.
    public var transformer: String
    public var imageTokenizer: String
    public var textTokenizer: String
    public var configuration: ModelConfiguration
    /// What the four matrices of a layer become.
    public var type: WeightType
    /// Whether the columns of int4 matrices make up for each other's rounding errors. It takes minutes, in which a draft of the model makes
    /// up texts and pictures and reads them; nothing else needs to be given.
    public var isCalibrated: Bool
    public var threads: Int
    /// Treats every warning as an error.
    public var isStrict: Bool

    public init(
        transformer: String, imageTokenizer: String, textTokenizer: String, configuration: ModelConfiguration, type: WeightType,
        isCalibrated: Bool = true, threads: Int = Session.usualThreads, isStrict: Bool = false
    ) {
        self.transformer = transformer
        self.imageTokenizer = imageTokenizer
        self.textTokenizer = textTokenizer
        self.configuration = configuration
        self.type = type
        self.isCalibrated = isCalibrated
        self.threads = threads
        self.isStrict = isStrict
    }

    /// What was stored.
    public struct Report: Sendable {
        public struct Row: Sendable {
            public let kind: TensorClass
            public fileprivate(set) var tensors = 0
            public fileprivate(set) var bytes = 0
            public fileprivate(set) var types: [String] = []
            public fileprivate(set) var distortion = Distortion()

            /// Bits of the file for each value.
            public var bitsPerWeight: Double { distortion.count == 0 ? 0 : Double(bytes) * 8 / Double(distortion.count) }
        }
        /// One for each class of tensors that the file has.
        public fileprivate(set) var rows: [Row] = []
        /// Of the whole file.
        public fileprivate(set) var fileSize = 0
        /// Positions of the sequences that it was calibrated with; 0 when it was not.
        public fileprivate(set) var calibratedPositions = 0

        public var tensors: Int { rows.reduce(0) { $0 + $1.tensors } }
        public var values: Int { rows.reduce(0) { $0 + $1.distortion.count } }
        public var bitsPerWeight: Double { values == 0 ? 0 : Double(rows.reduce(0) { $0 + $1.bytes }) * 8 / Double(values) }
    }

    /// Throws where `output` is a file that the caller has made the conversion from, as `run` does for those that it knows.
    public static func checkOutput(_ output: String, isNot input: String) throws(ConversionError) {
        try AtomicFile.check(output, isNoneOf: [input])
    }

    /// Writes the packed file `output`, which appears only when it is complete. `progress` is called after each chunk on the calling
    /// thread; when it returns false the conversion stops with `ConversionError.cancelled` and leaves nothing behind. `warn` is called for
    /// each warning before the work begins, so that nobody learns only after minutes what is wrong with the input.
    public func run(
        output: String, progress: @escaping (ConversionProgress) -> Bool = { _ in true }, warn: (String) -> Void = { _ in }
    ) throws(ConversionError) -> Report {
        try AtomicFile.check(output, isNoneOf: [transformer, imageTokenizer, textTokenizer])
        try configuration.validate()
        let checkpoint = try Checkpoint(path: transformer)
        let images = try Checkpoint(path: imageTokenizer)
        let text = try TextTokenizerModel(path: textTokenizer)
        // What has such a name is needed.
        try images.checkElements(under: ["encoder.", "decoder.", "quant_conv.", "quantize.", "post_quant_conv."])
        let imageTensors = ImageTokenizerConfiguration.plainNames(images)
        let imageConfiguration = try ImageTokenizerConfiguration(images, imageTensors)

        var warnings: [String] = []
        try checkVocabularies(text, imageConfiguration, images, &warnings)
        let imagePart = try imagePlan(imageConfiguration, images, imageTensors, &warnings)
        let textPart = try transformerPlan(checkpoint, &warnings)
        for mask in AttentionMask.allCases { try mask.check(checkpoint, configuration) }
        if isCalibrated, type == .int4, let missing = Calibration.missingTaskToken(configuration) {
            warnings.append("int4 is not calibrated: \(configuration.name) has no task token \(missing)")
        }
        if isStrict, let warning = warnings.first { throw .invalid(file: output, reason: "not written, --strict: \(warning)") }
        warnings.forEach(warn)

        let plan = imagePart.map { (images.path, $0) } + textPart.map { (checkpoint.path, $0) }
        var metadata = metadata(text, imageConfiguration, plan.map(\.1))
        var report = Report()
        let calibration = try calibration(metadata, plan, output, progress)
        if let calibration {
            report.calibratedPositions = calibration.positions
            metadata.append((FileSchema.Key.calibratedPositions, .uint32(UInt32(Int32(clamping: calibration.positions)))))
        }
        let leftText = captionLeftText(for: output)
        if leftText != nil, type == .int8 {
            metadata.append((FileSchema.Key.leftTextActivations, .string(ActivationPrecision.standard(for: type).name)))
        }
        report.fileSize = try PackedFileWriter.write(
            output, metadata: metadata, tensors: plan, last: leftText, threads: threads, progress: progress,
            feedback: { (tensor) throws(ConversionError) in
                guard let calibration, let input = tensor.input else { return nil }
                return try calibration.feedback(input)
            }
        ) { report.add($0, $1) }
        return report
    }

    /// Writes a draft beside `output`, which is gone when this returns.
    private func calibration(
        _ metadata: [(key: String, value: MetadataValue)], _ plan: [(file: String, tensor: StoredTensor)], _ output: String,
        _ progress: @escaping (ConversionProgress) -> Bool
    ) throws(ConversionError) -> Calibration? {
        guard isCalibrated, type == .int4, Calibration.missingTaskToken(configuration) == nil else { return nil }
        let draft = try AtomicFile.temporaryPath(beside: output, "draft")
        do throws(ConversionError) {
            _ = try PackedFileWriter.write(
                draft, metadata: metadata, tensors: plan, threads: threads,
                progress: { progress(ConversionProgress(tensor: "draft: \($0.tensor)", done: $0.done, total: $0.total)) })
        } catch .system(draft, let operation, let code) {
            throw .system(file: output, operation: operation, code: code)
        }
        defer { unlink(draft) }
        return try Calibration(draft: draft, output: output, threads: threads, progress: progress)
    }

    /// The left text of plain captions, so that nobody who captions has to compute it. Models without its task token have none.
    private func captionLeftText(for output: String) -> ComputedTensor? {
        guard configuration.taskTokens.isEmpty || configuration.taskTokens.contains(where: { $0.name == FileSchema.captionTaskToken })
        else { return nil }
        return ComputedTensor(
            name: FileSchema.captionLeftText,
            dimensions: [
                configuration.hiddenSize / configuration.heads, configuration.leftTextLength, configuration.heads, 2 * configuration.layers,
            ]
        ) { [threads] (path) throws(ConversionError) in
            do throws(RudolphError) {
                return try Session(try Model(path: path), threads: threads).computeCaptionLeftText()
            } catch {
                throw .invalid(file: output, reason: "does not run: \(error.reason(withoutName: path))")
            }
        }
    }

    private func checkVocabularies(
        _ text: TextTokenizerModel, _ image: ImageTokenizerConfiguration, _ images: Checkpoint, _ warnings: inout [String]
    ) throws(ConversionError) {
        guard text.vocabularySize <= configuration.textVocabularySize else {
            throw .invalid(
                file: textTokenizer,
                reason: "has \(text.vocabularySize) token ids, \(configuration.name) has \(configuration.textVocabularySize)")
        }
        if text.vocabularySize < configuration.textVocabularySize {
            warnings.append("\(textTokenizer) has \(text.vocabularySize) token ids, \(configuration.name) \(configuration.textVocabularySize)")
        }
        guard image.codes == configuration.imageVocabularySize else {
            throw images.failure(
                "quantize.proj.weight has \(image.codes) codes, \(configuration.name) has \(configuration.imageVocabularySize)")
        }
    }

    // MARK: What is stored, and how

    private func imagePlan(
        _ image: ImageTokenizerConfiguration, _ checkpoint: Checkpoint, _ tensors: [String: TensorView], _ warnings: inout [String]
    ) throws(ConversionError) -> [StoredTensor] {
        let plain: WeightType = type == .f32 ? .f32 : .f16
        var plan: [StoredTensor] = [], used: Set<String> = []
        for (name, shape) in image.tensors {
            guard let view = tensors[name] else { throw checkpoint.failure("\(name) is missing; a tensor of shape \(shape) is expected") }
            guard view.shape == shape else { throw checkpoint.failure("\(name) has the shape \(view.shape), expected \(shape)") }
            used.insert(name)
            let stored = FileSchema.imageTokenizerPrefix + name
            switch shape.count {
            case 1: plan.append(StoredTensor(vector: stored, view))
            case 2: plan.append(StoredTensor(stored, .imageTokenizer, view, type == .f32 ? .f32 : .f16))
            default: plan.append(StoredTensor(stored, .imageTokenizer, view.permuted([0, 2, 3, 1]), .packed(plain)))
            }
        }
        let rest = tensors.keys.filter { !used.contains($0) && !$0.hasPrefix("loss.") && !$0.hasPrefix("decoder.idwt.") }
        if let extra = rest.filter({ $0.hasPrefix("encoder.") || $0.hasPrefix("decoder.") }).min() {
            throw checkpoint.failure("\(extra) has no place in a VQGAN whose other tensors say \(image)")
        }
        warn(ofUnused: rest, in: checkpoint, &warnings)
        return plan
    }

    private func transformerPlan(_ checkpoint: Checkpoint, _ warnings: inout [String]) throws(ConversionError) -> [StoredTensor] {
        let hidden = configuration.hiddenSize, textRows = configuration.textRows, imageRows = configuration.imageRows
        var plan: [StoredTensor] = [], used: Set<String> = Set(AttentionMask.allCases.map(\.bufferName))
        func tensor(_ name: String, _ shape: [Int]) throws(ConversionError) -> TensorView {
            used.insert(name)
            return try checkpoint.tensor(name, shape: shape)
        }
        func vectors(_ name: String, _ size: Int) throws(ConversionError) {
            for part in ["\(name).weight", "\(name).bias"] { plan.append(StoredTensor(vector: part, try tensor(part, [size]))) }
        }
        func linear(_ name: String, _ kind: TensorClass, _ input: LayerInput, rows: Int, columns: Int) throws(ConversionError) {
            var matrix = StoredTensor("\(name).weight", kind, try tensor("\(name).weight", [rows, columns]), .packed(type))
            matrix.input = input
            plan.append(matrix)
            plan.append(StoredTensor(vector: "\(name).bias", try tensor("\(name).bias", [rows])))
        }

        let embedding: Encoding =
            switch type {
            case .f32: .f32
            // A token looks up one row, so finer embeddings cost nothing but room in the file; they are worth it where the rest is fine.
            case .f16, .int8: .f16
            case .int4: hidden.isMultiple(of: 32) ? .q8_0 : .f16
            }
        if embedding == .f16, type == .int4 {
            warnings.append("embeddings are stored as f16: Q8_0 needs rows in multiples of 32, hidden_size is \(hidden)")
        }
        for (name, rows) in [("text_embeddings.weight", textRows), ("image_embeddings.weight", imageRows)] {
            plan.append(StoredTensor(name, .embeddings, try tensor(name, [rows, hidden]), embedding))
        }
        let side = configuration.imageTokensPerSide
        for (name, rows) in [
            ("l_text_pos_embeddings.weight", configuration.leftTextLength + 1),
            ("r_text_pos_embeddings.weight", configuration.rightTextLength + 1), ("image_row_embeddings.weight", side),
            ("image_col_embeddings.weight", side),
        ] {
            plan.append(StoredTensor(name, .vectors, try tensor(name, [rows, hidden]), .f32))
        }
        for layer in 0..<configuration.layers {
            let name = "transformer.layers.\(layer)."
            try vectors(name + "input_layernorm", hidden)
            try linear(
                name + "attention.query_key_value", .attention, LayerInput(layer: layer, matrix: .queryKeyValue), rows: 3 * hidden,
                columns: hidden)
            try linear(name + "attention.dense", .attention, LayerInput(layer: layer, matrix: .dense), rows: hidden, columns: hidden)
            try vectors(name + "before_first_addition_layernorm", hidden)
            try vectors(name + "post_attention_layernorm", hidden)
            try linear(name + "mlp.dense_h_to_4h", .feedForward, LayerInput(layer: layer, matrix: .up), rows: 4 * hidden, columns: hidden)
            try linear(name + "mlp.dense_4h_to_h", .feedForward, LayerInput(layer: layer, matrix: .down), rows: hidden, columns: 4 * hidden)
            try vectors(name + "before_second_addition_layernorm", hidden)
        }
        try vectors("transformer.final_layernorm", hidden)
        let head = try tensor("to_logits.1.weight", [textRows + imageRows, hidden])
        let headNorm = (
            weight: try tensor("to_logits.0.weight", [hidden]), bias: try tensor("to_logits.0.bias", [hidden])
        )
        let headType: WeightType = type == .int4 ? .int8 : type
        let factors =
            headType == .int8
            ? ColumnEqualization.factors(head, normWeight: headNorm.weight, normBias: headNorm.bias)
            : [Float](repeating: 1, count: hidden)
        let inverse = factors.map { 1 / $0 }
        for (name, vector) in [("to_logits.0.weight", headNorm.weight), ("to_logits.0.bias", headNorm.bias)] {
            plan.append(StoredTensor(name, .vectors, ScaledColumns(source: vector.asRow(), factors: inverse), .f32, shape: [hidden]))
        }
        let bias = try tensor("to_logits.1.bias", [textRows + imageRows])
        for (name, rows) in [(FileSchema.textHead, 0..<textRows), (FileSchema.imageHead, textRows..<textRows + imageRows)] {
            plan.append(
                StoredTensor("\(name).weight", .head, ScaledColumns(source: head.rows(rows), factors: factors), .packed(headType)))
            plan.append(StoredTensor(vector: "\(name).bias", bias.rows(rows)))
        }

        let rest = checkpoint.tensors.keys.filter { !used.contains($0) }
        let modules = ["transformer.", "to_logits.", "text_embeddings.", "image_embeddings."]
        if let extra = rest.filter({ name in modules.contains { name.hasPrefix($0) } }).min() {
            throw checkpoint.failure("\(extra) has no place in \(configuration.name) with \(configuration.layers) layers; is it another model?")
        }
        warn(ofUnused: rest, in: checkpoint, &warnings)
        return plan
    }

    private func warn(ofUnused names: [String], in checkpoint: Checkpoint, _ warnings: inout [String]) {
        guard let first = names.min() else { return }
        let others = names.count > 1 ? ", ..." : ""
        warnings.append("\(checkpoint.path): \(names.count) tensors are not part of the model and are left out (\(first)\(others))")
    }

    private func metadata(
        _ text: TextTokenizerModel, _ image: ImageTokenizerConfiguration, _ plan: [StoredTensor]
    ) -> [(key: String, value: MetadataValue)] {
        typealias Key = FileSchema.Key
        func number(_ value: Int) -> MetadataValue { .uint32(UInt32(value)) }
        func numbers(_ values: [Int]) -> MetadataValue { .uint32s(values.map { UInt32($0) }) }
        let packed = plan.compactMap { tensor in
            if case .packed(let type) = tensor.encoding { (tensor, type) } else { nil }
        }
        return [
            (Key.architecture, .string(FileSchema.architecture)),
            (Key.name, .string(configuration.name)),
            (Key.alignment, number(GGUF.alignment)),
            (Key.version, number(FileSchema.version)),
            (Key.weightType, .string(type.name)),
            (Key.layers, number(configuration.layers)),
            (Key.hiddenSize, number(configuration.hiddenSize)),
            (Key.heads, number(configuration.heads)),
            (Key.leftTextLength, number(configuration.leftTextLength)),
            (Key.imageTokensPerSide, number(configuration.imageTokensPerSide)),
            (Key.rightTextLength, number(configuration.rightTextLength)),
            (Key.kernelSize, number(configuration.kernelSize)),
            (Key.lastKernelSize, number(configuration.lastKernelSize)),
            (Key.textVocabularySize, number(configuration.textVocabularySize)),
            (Key.textSpecialTokens, number(configuration.textSpecialTokens)),
            (Key.imageVocabularySize, number(configuration.imageVocabularySize)),
            (Key.imageSpecialTokens, number(configuration.imageSpecialTokens)),
            (Key.taskTokenNames, .strings(configuration.taskTokens.map(\.name))),
            (Key.taskTokenIDs, numbers(configuration.taskTokens.map(\.id))),
            (Key.channels, number(image.channels)),
            (Key.channelMultipliers, numbers(image.channelMultipliers)),
            (Key.residualBlocks, number(image.residualBlocks)),
            (Key.attentionLevels, numbers(image.attentionLevels)),
            (Key.zChannels, number(image.zChannels)),
            (Key.embeddingSize, number(image.embeddingSize)),
            (Key.codes, number(image.codes)),
            (Key.outChannels, number(image.outputChannels)),
            (Key.codepoints, .uint32s(text.codepoints)),
            (Key.codepointIDs, .uint32s(text.codepointIDs)),
            (Key.rules, .uint32s(text.rules)),
            (Key.unk, .int32(text.unk)),
            (Key.pad, .int32(text.pad)),
            (Key.bos, .int32(text.bos)),
            (Key.eos, .int32(text.eos)),
            (Key.packedNames, .strings(packed.map { $0.0.name })),
            (Key.packedTypes, .uint32s(packed.map { $0.1.rawValue })),
            (Key.packedRows, numbers(packed.map { $0.0.rows })),
            (Key.packedColumns, numbers(packed.map { $0.0.columns })),
        ]
    }
}

extension RudolphError {
    /// The message for those who do not know a temporary file, without its name.
    func reason(withoutName path: String) -> String {
        message.hasPrefix("\(path): ") ? String(message.dropFirst(path.count + 2)) : message
    }
}

extension Conversion.Report {
    fileprivate mutating func add(_ tensor: StoredTensor, _ distortion: Distortion) {
        if !rows.contains(where: { $0.kind == tensor.kind }) {
            rows.append(Row(kind: tensor.kind))
            rows.sort { one, other in
                let order = TensorClass.allCases
                return order.firstIndex(of: one.kind) ?? 0 < order.firstIndex(of: other.kind) ?? 0
            }
        }
        guard let index = rows.firstIndex(where: { $0.kind == tensor.kind }) else { return }
        rows[index].tensors += 1
        rows[index].bytes += tensor.bytes
        rows[index].distortion += distortion
        let type =
            switch tensor.encoding {
            case .packed(let type): type.name
            case let encoding: "\(encoding)"
            }
        if !rows[index].types.contains(type) { rows[index].types.append(type) }
    }
}
