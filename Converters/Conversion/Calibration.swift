import CKernels
import CPlatform
import Rudolph

/// One of the matrices whose inputs are learnt.
struct LayerInput: Hashable, Sendable {
    let layer: Int
    let matrix: LayerMatrix
}

/// What the matrices of the layers multiply, learnt from a draft of the model: the same weights, each rounded by itself. The draft makes up
/// the sequences that it then reads, so nothing but the checkpoint is needed: left texts, pictures drawn from them, captions of those.
/// Everything is the same at each run, on every machine.
final class Calibration {
    /// Positions are at least this many for each column of the residual stream.
    private static let positionsPerColumn = 16
    private static let taskTokens = [
        TaskToken.textToText, TaskToken.textToImage, TaskToken.imageToText, TaskToken.caption,
    ]

    private let configuration: Configuration
    private let session: Session
    private let sequences: [[Int]]
    private let progress: (ConversionProgress) -> Bool
    private let failure: (String) -> ConversionError
    private let memory: Int
    private let features = rk_cpu_features()
    /// Those whose columns are equalized. int4's own errors outweigh those of its inputs, and equalizing takes nothing off them.
    private let matrices: [LayerInput: any RowSource]
    private var moments: [LayerInput: InputMoments] = [:]
    private var columnFactors: [LayerInput: [Float]] = [:]
    private let scratch = InputMoments.Scratch(positions: Session.positionsAtOnce)

    /// Positions that the draft read.
    var positions: Int { sequences.reduce(0) { $0 + $1.count } }

    /// The first of the task tokens in the sequences that a model with task tokens does not have.
    static func missingTaskToken(_ configuration: ModelConfiguration) -> String? {
        configuration.taskTokens.isEmpty
            ? nil : taskTokens.first { name in !configuration.taskTokens.contains { $0.name == name } }
    }

    /// - Parameters:
    ///   - draft: the draft's path. It is mapped: the name may go at once.
    ///   - tensors: what is to be stored.
    ///   - output: the file's name, for messages.
    ///   - memory: bytes that may be used for what is learnt, of one layer at least: the less, the more often all is read.
    init(
        draft: String, of tensors: [StoredTensor] = [], output: String, threads: Int, memory: Int = Calibration.affordableMemory,
        progress: @escaping (ConversionProgress) -> Bool
    ) throws(ConversionError) {
        let failure = { (reason: String) in ConversionError.invalid(file: output, reason: "its draft does not run: \(reason)") }
        do throws(RudolphError) {
            session = try Session(try Model(path: draft), threads: threads, keyValueFormat: .f16)
            configuration = session.model.configuration
            sequences = try Self.madeUp(by: session, progress)
        } catch {
            throw error.kind == .stopped ? .cancelled : failure(error.reason(withoutName: draft))
        }
        var matrices: [LayerInput: any RowSource] = [:]
        for tensor in tensors where tensor.encoding == .packed(.int8) { if let input = tensor.input { matrices[input] = tensor.source } }
        self.matrices = matrices
        self.progress = progress
        self.failure = failure
        self.memory = memory
    }

    /// A quarter of what is available; 1 GiB where that is unknown.
    static var affordableMemory: Int {
        let available = rp_available_memory()
        return available == 0 ? 1 << 30 : Int(clamping: available / 4)
    }

    /// Every other sequence has the empty left text of captions in place of the text that its picture was drawn from.
    private static func madeUp(
        by session: Session, _ progress: @escaping (ConversionProgress) -> Bool
    ) throws(RudolphError) -> [[Int]] {
        let configuration = session.model.configuration
        let wanted = positionsPerColumn * configuration.hiddenSize
        let count = (wanted + configuration.sequenceLength - 1) / configuration.sequenceLength
        func handler(_ what: String) -> ProgressHandler { { progress(ConversionProgress(tensor: what, done: $0.done, total: $0.total)) } }

        // What a text begins with; a segment that has no room for more stays empty.
        let begin = configuration.taskTokens.isEmpty ? 1 : 2
        var texts: [String] = []
        if configuration.leftTextLength > begin {
            var writing = CompleteOptions()
            writing.candidates = count
            writing.seed = 0
            texts = try Completer(session).complete("", writing, progress: handler("draft: texts")).map(\.text)
        }
        // A model that has learnt nothing may write nothing.
        texts.removeAll { Tokenizer.lowercasedAndStripped($0).isEmpty }
        if texts.isEmpty { texts = ["а"] }

        var drawing = DrawOptions()
        drawing.batch = 16
        let subjects = (0..<count).map { (text: texts[$0 % texts.count], seed: UInt64($0)) }
        let pictures = try Drawer(session).drawEach(subjects, drawing, progress: handler("draft: pictures"))

        var captioning = CaptionOptions()
        captioning.template = nil
        captioning.candidates = 1
        captioning.ranking = .count
        var sequences: [[Int]] = []
        for (index, picture) in pictures.enumerated() {
            guard progress(ConversionProgress(tensor: "draft: captions", done: index, total: count)) else { throw .stopped }
            captioning.seed = UInt64(index)
            let caption =
                configuration.rightTextLength > begin ? try Captioner(session).captions(tokens: picture, captioning).first : nil
            let isDrawn = index % 2 == 1
            sequences.append(
                try session.segment(
                    isDrawn ? Tokenizer.lowercasedAndStripped(subjects[index].text) : "",
                    task: isDrawn ? TaskToken.textToImage : TaskToken.imageToText,
                    length: configuration.leftTextLength, isPadded: true) + picture + (caption?.ids ?? []))
        }
        return sequences
    }

    /// A tensor with its columns equalized, or what feeds them, and what its errors can be made up with. They should be asked for in the order of
    /// the layers, each once.
    func prepared(_ tensor: StoredTensor) throws(ConversionError) -> (StoredTensor, ErrorFeedback?) {
        var scaled = Scaled(source: tensor.source), result = tensor
        if let (matrix, from) = tensor.feeds, let factors = try columnFactors(matrix) {
            let inverse = [Float](repeating: 1, count: from) + factors.map { 1 / $0 }
            if tensor.input == nil { scaled.columnFactors = inverse } else { scaled.rowFactors = inverse }
        }
        if let input = tensor.input { scaled.columnFactors = try columnFactors(input) }
        result.source = scaled
        return (result, try tensor.input.map { (input) throws(ConversionError) in try feedback(input) })
    }

    /// For one matrix. They should be asked for in the order of the layers, each once.
    func feedback(_ input: LayerInput) throws(ConversionError) -> ErrorFeedback {
        if moments[input] == nil { try learn(from: input.layer) }
        guard let found = moments.removeValue(forKey: input) else { throw failure("it has no layer \(input.layer)") }
        return ErrorFeedback(found, columnFactors: columnFactors[input])
    }

    /// Of a matrix whose inputs can be divided by them where they are made: not of `down`, before which lies GELU.
    private func columnFactors(_ input: LayerInput) throws(ConversionError) -> [Float]? {
        guard input.matrix != .down, let matrix = matrices[input] else { return nil }
        if let known = columnFactors[input] { return known }
        if moments[input] == nil { try learn(from: input.layer) }
        guard let largest = moments[input]?.largest else { throw failure("it has no layer \(input.layer)") }
        let factors = ColumnEqualization.factors(matrix, .threeQuarters) { largest[$0] }
        columnFactors[input] = factors
        return factors
    }

    private func columns(_ matrix: LayerMatrix) -> Int { matrix == .down ? 4 * configuration.hiddenSize : configuration.hiddenSize }

    /// Reads all sequences for as many layers as fit into memory.
    private func learn(from first: Int) throws(ConversionError) {
        moments = [:]
        let bytes = LayerMatrix.allCases.reduce(0) { $0 + InputMoments.bytes(columns: columns($1)) }
        let atOnce = max(1, memory / bytes)
        for layer in first..<min(first + min(atOnce, configuration.layers), configuration.layers) {
            for matrix in LayerMatrix.allCases { moments[LayerInput(layer: layer, matrix: matrix)] = InputMoments(columns: columns(matrix)) }
        }
        let (learning, scratch, features) = (moments, scratch, features)
        for (index, sequence) in sequences.enumerated() {
            guard progress(ConversionProgress(tensor: "draft: what its layers multiply", done: index, total: sequences.count)) else {
                throw .cancelled
            }
            do throws(RudolphError) {
                try session.observe(sequence) { worker, layer, matrix, rows in
                    learning[LayerInput(layer: layer, matrix: matrix)]?.add(rows, worker, features: features, scratch)
                }
            } catch {
                throw failure(error.message)
            }
        }
    }
}
