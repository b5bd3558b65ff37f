import CKernels
import CPlatform

/// A model file, mapped and checked: configuration, tokenizer and where each weight lies.
///
/// Opening reads only the header; weights stay in the file and are paged in when they are used. A model is immutable, so any number
/// of tasks on any number of threads may share it. A damaged or foreign file throws a `RudolphError` that says what is wrong
/// where; bytes of weights are not examined (`rudolph-quant verify` does that), but tasks throw where results are infinite or no numbers.
public final class Model: @unchecked Sendable {
    /// As it was opened.
    public let path: String
    /// As its file states it.
    public let name: String
    /// Its shape.
    public let configuration: Configuration
    /// Of the layers' matrices.
    public let weightType: WeightType
    /// Of its texts.
    public let tokenizer: Tokenizer
    /// Positions of the sequences that the file's weights were calibrated with; nil where they were not.
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
    private let allocations: Allocations

    /// - Parameter path: of a regular file, which stays mapped: replace it by renaming another over it, never by writing into it.
    /// - Throws: what the file lacks, contradicts or has twice, with its path, the key or tensor, what was found and what was expected.
    public init(path: String) throws(RudolphError) {
        typealias Key = FileSchema.Key
        let file = try GGUF(MappedFile(path: path))
        let weightType = try Self.checkKind(of: file)
        let configuration = try Configuration(file)
        let binder = try TensorBinder(file)
        self.path = path
        self.file = file
        self.weightType = weightType
        self.configuration = configuration
        name = try file.string(Key.name)
        calibratedPositions =
            file[Key.calibratedPositions] == nil ? nil : try file.integer(Key.calibratedPositions, in: 1...Int(Int32.max))
        tokenizer = try Self.tokenizer(file, configuration)
        transformer = try TransformerWeights(binder, configuration)
        imageEncoder = try ImageEncoderWeights(binder, configuration.imageTokenizer)
        imageDecoder =
            file.tensorIndices["vqgan.decoder.conv_in.weight"] == nil ? nil : try ImageDecoderWeights(binder, configuration.imageTokenizer)
        captionLeftText =
            file.tensorIndices[FileSchema.captionLeftText] == nil ? nil : try StoredKeysAndValues(binder, configuration, weightType)
        packedWeights = binder.packedWeights
        allocations = binder.allocations
    }

    /// Throws where `file` is no packed RUDOLPH model, or of a format that is not known here.
    @discardableResult
    package static func checkKind(of file: GGUF) throws(RudolphError) -> WeightType {
        typealias Key = FileSchema.Key
        let path = file.file.path, architecture = try file.string(Key.architecture)
        guard architecture == FileSchema.architecture else {
            throw .invalidFile("\(path): a model of architecture \(architecture), expected \(FileSchema.architecture)")
        }
        let typeName = try file.string(Key.weightType)
        guard let type = WeightType(name: typeName) else {
            throw .invalidFile("\(path): \(Key.weightType) is \(typeName), expected f32, f16, int8 or int4")
        }
        let version = try file.integer(Key.version, in: 0...Int(Int32.max)), expected = FileSchema.version(of: type)
        guard version == expected else {
            let advice = version < expected ? "convert the checkpoint again" : "a newer version of this program reads it"
            throw .invalidFile("\(path): \(Key.version) is \(version), expected \(expected) for \(typeName): \(advice)")
        }
        return type
    }

    private static func tokenizer(_ file: GGUF, _ configuration: Configuration) throws(RudolphError) -> Tokenizer {
        typealias Key = FileSchema.Key
        let limit = -1...(configuration.textVocabularySize - 1)
        let tokenizer: Tokenizer
        do throws(RudolphError) {
            tokenizer = try Tokenizer(
                codepoints: try file.integers(Key.codepoints),
                codepointIDs: try file.integers(Key.codepointIDs),
                rules: try file.integers(Key.rules),
                unknown: try file.integer(Key.unk, in: limit),
                pad: try file.integer(Key.pad, in: limit),
                begin: try file.integer(Key.bos, in: limit),
                end: try file.integer(Key.eos, in: limit))
        } catch {
            throw .invalidFile("\(file.file.path): \(error.message)")
        }
        guard tokenizer.vocabularySize <= configuration.textVocabularySize else {
            throw .invalidFile(
                "\(file.file.path): the tokenizer has \(tokenizer.vocabularySize) ids, expected at most \(configuration.textVocabularySize)")
        }
        return tokenizer
    }

    /// The image decoder, for what cannot do without.
    func requiredImageDecoder() throws(RudolphError) -> ImageDecoderWeights {
        guard let imageDecoder else { throw RudolphError("\(path): has no image decoder (vqgan.decoder.*), so it cannot draw") }
        return imageDecoder
    }

    /// What to throw where results are infinite or no numbers: anything that was made of them would be arbitrary.
    func damaged(_ results: String) -> RudolphError {
        .invalidFile("\(path): \(results) are not finite, expected numbers: weights are damaged (rudolph-quant verify says which)")
    }

    /// Gives back the pages of a part that is not needed while another runs.
    func release(_ range: Range<Int>?) {
        if let range { file.file.release(range) }
    }
}
