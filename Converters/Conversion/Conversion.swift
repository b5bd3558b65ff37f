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
    /// Whether the columns of int8 and int4 matrices make up for each other's rounding errors. It takes minutes, in which a draft of the
    /// model makes up texts and pictures and reads them; nothing else needs to be given.
    public var isCalibrated: Bool
    public var threads: Int
    /// Treats every warning as an error.
    public var isStrict: Bool

    public init(
        transformer: String, imageTokenizer: String, textTokenizer: String, configuration: ModelConfiguration, type: WeightType,
        isCalibrated: Bool = true, threads: Int = Session.defaultThreads, isStrict: Bool = false
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
        let plainImages = ImageTokenizerConfiguration.withPlainNames(images)
        let imageConfiguration = try ImageTokenizerConfiguration(plainImages)

        var warnings: [String] = []
        try checkVocabularies(text, imageConfiguration, images, &warnings)
        let imagePart = try imagePlan(imageConfiguration, plainImages, &warnings)
        let textPart = try TransformerPlan(checkpoint, configuration, type)
        warnings += textPart.warnings
        for mask in MaskBuffer.allCases { try mask.check(checkpoint, configuration) }
        if isCalibrated, type.isInteger, let missing = Calibration.missingTaskToken(configuration) {
            warnings.append("\(type.name) is not calibrated: \(configuration.name) has no task token \(missing)")
        }
        if isStrict, let warning = warnings.first { throw .invalid(file: output, reason: "not written, --strict: \(warning)") }
        warnings.forEach(warn)

        let plan = imagePart.map { (images.path, $0) } + textPart.tensors.map { (checkpoint.path, $0) }
        var metadata = metadata(text, imageConfiguration, plan.map(\.1))
        var report = Report()
        let calibration = try calibration(metadata, plan, output, progress)
        if let calibration {
            report.calibratedPositions = calibration.positions
            metadata.append((FileSchema.Key.calibratedPositions, .uint32(UInt32(Int32(clamping: calibration.positions)))))
        }
        let leftText = captionLeftText(for: output)
        if leftText != nil, type == .int8 {
            metadata.append((FileSchema.Key.leftTextActivations, .string(ActivationPrecision.standard.name)))
        }
        report.fileSize = try PackedFileWriter.write(
            output, metadata: metadata, tensors: plan, last: leftText, threads: threads, progress: progress,
            prepare: { (tensor) throws(ConversionError) in try calibration?.prepared(tensor) ?? (tensor, nil) },
            check: { (path) throws(ConversionError) in try checkOpens(path, output) }
        ) { report.add($0, $1) }
        return report
    }

    /// Writes a draft beside `output`, which is gone when this returns.
    private func calibration(
        _ metadata: [(key: String, value: MetadataValue)], _ plan: [(file: String, tensor: StoredTensor)], _ output: String,
        _ progress: @escaping (ConversionProgress) -> Bool
    ) throws(ConversionError) -> Calibration? {
        guard isCalibrated, type.isInteger, Calibration.missingTaskToken(configuration) == nil else { return nil }
        let draft = try AtomicFile.temporaryPath(beside: output, "draft")
        do throws(ConversionError) {
            _ = try PackedFileWriter.write(
                draft, metadata: metadata, tensors: plan, threads: threads,
                progress: { progress(ConversionProgress(tensor: "draft: \($0.tensor)", done: $0.done, total: $0.total)) })
        } catch .system(draft, let operation, let code) {
            throw .system(file: output, operation: operation, code: code)
        }
        defer { unlink(draft) }
        return try Calibration(draft: draft, of: plan.map(\.tensor), output: output, threads: threads, progress: progress)
    }

    /// The left text of plain captions, so that nobody who captions has to compute it. Models without its task token have none.
    private func captionLeftText(for output: String) -> ComputedTensors? {
        guard configuration.taskTokens.isEmpty || configuration.taskTokens.contains(where: { $0.name == TaskToken.imageToText })
        else { return nil }
        let isInt8 = KeyValueFormat.standard(for: type) == .int8
        let slots = [configuration.leftTextLength, configuration.heads, 2 * configuration.layers]
        var tensors = [(FileSchema.captionLeftText, isInt8 ? GGUF.TensorType.i8 : .f16, [configuration.hiddenSize / configuration.heads] + slots)]
        if isInt8 { tensors.append((FileSchema.captionLeftTextScales, .f32, slots)) }
        return ComputedTensors(tensors: tensors) { [threads] (path) throws(ConversionError) in
            do throws(RudolphError) {
                let (elements, scales) = try Session(try Model(path: path), threads: threads).computeCaptionLeftText()
                return isInt8 ? [elements, scales] : [elements]
            } catch {
                throw .invalid(file: output, reason: "does not run: \(error.reason(withoutName: path))")
            }
        }
    }

    /// Fails where the runtime would not open `output`, which is still at `path`.
    private func checkOpens(_ path: String, _ output: String) throws(ConversionError) {
        do throws(RudolphError) {
            _ = try Model(path: path)
        } catch {
            throw .invalid(file: output, reason: "not written, the runtime would refuse it: \(error.reason(withoutName: path))")
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
        _ image: ImageTokenizerConfiguration, _ checkpoint: Checkpoint, _ warnings: inout [String]
    ) throws(ConversionError) -> [StoredTensor] {
        let plain: WeightType = type == .f32 ? .f32 : .f16
        var plan: [StoredTensor] = [], intake = TensorIntake(checkpoint)
        for (name, shape) in image.tensors {
            let view = try intake.take(name, shape)
            let stored = FileSchema.imageTokenizerPrefix + name
            switch shape.count {
            case 1: plan.append(StoredTensor(vector: stored, view))
            case 2: plan.append(StoredTensor(stored, .imageTokenizer, view, type == .f32 ? .f32 : .f16))
            default: plan.append(StoredTensor(stored, .imageTokenizer, view.permuted([0, 2, 3, 1]), .packed(plain)))
            }
        }
        let rest = intake.rest.filter { !$0.hasPrefix("loss.") && !$0.hasPrefix("decoder.idwt.") }
        if let extra = rest.filter({ $0.hasPrefix("encoder.") || $0.hasPrefix("decoder.") }).min() {
            throw checkpoint.failure("\(extra) has no place in a VQGAN whose other tensors say \(image)")
        }
        if let warning = intake.warning(ofUnused: rest) { warnings.append(warning) }
        return plan
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
            (Key.version, number(FileSchema.version(of: type))),
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
