import CKernels
import CPlatform

/// A model file, mapped and checked: configuration, tokenizer and where each weight lies.
///
/// Opening reads only the header; weights stay in the file and are paged in when they are used. A model is immutable, so any number
/// of tasks on any number of threads may share it. A damaged or foreign file throws a `RudolphError` that says what is wrong
/// where; bytes of weights are not examined (`rudolph-quant verify` does that).
public final class Model: @unchecked Sendable {
    public let path: String
    public let name: String
    public let configuration: Configuration
    public let weightType: WeightType
    public let tokenizer: Tokenizer
    /// Positions of the sequences that the file's int4 weights were calibrated with; nil where they were not.
    public let calibratedPositions: Int?

    let file: GGUF
    let transformer: TransformerWeights
    let imageEncoder: ImageEncoderWeights
    /// nil in a file that was made without it.
    let imageDecoder: ImageDecoderWeights?
    /// Keys and values of the left text of plain captions, see `Session.captionLeftText`; nil in a file that was made without them.
    let captionLeftText: StoredKeysAndValues?
    /// The number of weights of each packed tensor.
    let packedWeights: [String: Int]
    private let allocations: [UnsafeMutableRawPointer]

    public init(path: String) throws(RudolphError) {
        let file = try GGUF(MappedFile(path: path))
        let architecture = try file.string("general.architecture")
        guard architecture == "rudolph" else {
            throw RudolphError("\(path): a model of architecture \(architecture), expected rudolph")
        }
        _ = try file.integer("rudolph.format_version", in: 1...1)
        let typeName = try file.string("rudolph.weight_type")
        guard let weightType = WeightType.named(typeName) else {
            throw RudolphError("\(path): rudolph.weight_type is \(typeName), expected f32, f16, int8 or int4")
        }
        let configuration = try Configuration(file)
        let binder = try TensorBinder(file)
        self.path = path
        self.file = file
        self.weightType = weightType
        self.configuration = configuration
        name = try file.string("general.name")
        let positions = "rudolph.calibration.positions"
        calibratedPositions = file.metadata[positions] == nil ? nil : try file.integer(positions, in: 1...Int(Int32.max))
        tokenizer = try Self.tokenizer(file, configuration)
        transformer = try TransformerWeights(binder, configuration)
        imageEncoder = try ImageEncoderWeights(binder, configuration.imageTokenizer)
        imageDecoder =
            file.tensorIndices["vqgan.decoder.conv_in.weight"] == nil ? nil : try ImageDecoderWeights(binder, configuration.imageTokenizer)
        captionLeftText =
            file.tensorIndices[StoredKeysAndValues.name] == nil ? nil : try StoredKeysAndValues(binder, configuration)
        packedWeights = binder.packedWeights
        allocations = binder.allocations
    }

    deinit {
        for allocation in allocations { rp_free(allocation) }
    }

    private static func tokenizer(_ file: GGUF, _ configuration: Configuration) throws(RudolphError) -> Tokenizer {
        let limit = -1...(configuration.textVocabularySize - 1)
        do throws(RudolphError) {
            return try Tokenizer(
                codepoints: try file.integers("rudolph.tokenizer.codepoints"),
                codepointIDs: try file.integers("rudolph.tokenizer.codepoint_ids"),
                rules: try file.integers("rudolph.tokenizer.rules"),
                unknown: try file.integer("rudolph.tokenizer.unk_id", in: limit),
                pad: try file.integer("rudolph.tokenizer.pad_id", in: limit),
                begin: try file.integer("rudolph.tokenizer.bos_id", in: limit),
                end: try file.integer("rudolph.tokenizer.eos_id", in: limit))
        } catch {
            throw RudolphError("\(file.file.path): \(error.message)")
        }
    }

    /// Gives back the pages of a part that is not needed while another runs.
    func release(_ range: Range<Int>?) {
        if let range { file.file.release(range) }
    }
}
