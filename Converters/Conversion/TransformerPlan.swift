import Rudolph

/// What is stored of a transformer, and how, in the order of the packed file.
struct TransformerPlan {
    private(set) var tensors: [StoredTensor] = []
    private(set) var warnings: [String] = []

    private let configuration: ModelConfiguration
    private let type: WeightType
    private var intake: TensorIntake
    private var hidden: Int { configuration.hiddenSize }

    /// Fails when `checkpoint` is not of such a model.
    init(_ checkpoint: Checkpoint, _ configuration: ModelConfiguration, _ type: WeightType) throws(ConversionError) {
        self.configuration = configuration
        self.type = type
        intake = TensorIntake(checkpoint, besides: MaskBuffer.allCases.map(\.name))
        try addEmbeddings()
        for layer in 0..<configuration.layers { try addLayer(layer) }
        try addVectors("transformer.final_layernorm")
        try addHead()

        let modules = ["transformer.", "to_logits.", "text_embeddings.", "image_embeddings."], rest = intake.rest
        if let extra = rest.filter({ name in modules.contains { name.hasPrefix($0) } }).min() {
            throw checkpoint.failure("\(extra) has no place in \(configuration.name) with \(configuration.layers) layers; is it another model?")
        }
        if let warning = intake.warning(ofUnused: rest) { warnings.append(warning) }
    }

    private mutating func addEmbeddings() throws(ConversionError) {
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
        for (name, rows) in [("text_embeddings.weight", configuration.textRows), ("image_embeddings.weight", configuration.imageRows)] {
            tensors.append(StoredTensor(name, .embeddings, try intake.take(name, [rows, hidden]), embedding))
        }
        let side = configuration.imageTokensPerSide
        for (name, rows) in [
            ("l_text_pos_embeddings.weight", configuration.leftTextLength + 1),
            ("r_text_pos_embeddings.weight", configuration.rightTextLength + 1), ("image_row_embeddings.weight", side),
            ("image_col_embeddings.weight", side),
        ] {
            tensors.append(StoredTensor(name, .vectors, try intake.take(name, [rows, hidden]), .f32))
        }
    }

    private mutating func addLayer(_ layer: Int) throws(ConversionError) {
        let name = "transformer.layers.\(layer)."
        func input(_ matrix: LayerMatrix) -> LayerInput { LayerInput(layer: layer, matrix: matrix) }
        try addVectors(name + "input_layernorm", feeds: input(.queryKeyValue))
        // Values are what `dense` multiplies, averaged.
        try addLinear(
            name + "attention.query_key_value", .attention, input(.queryKeyValue), rows: 3 * hidden, columns: hidden,
            feeds: (input(.dense), 2 * hidden))
        try addLinear(name + "attention.dense", .attention, input(.dense), rows: hidden, columns: hidden)
        try addVectors(name + "before_first_addition_layernorm")
        try addVectors(name + "post_attention_layernorm", feeds: input(.up))
        try addLinear(name + "mlp.dense_h_to_4h", .feedForward, input(.up), rows: 4 * hidden, columns: hidden)
        try addLinear(name + "mlp.dense_4h_to_h", .feedForward, input(.down), rows: hidden, columns: 4 * hidden)
        try addVectors(name + "before_second_addition_layernorm")
    }

    /// The head's rows are split; where it is int8, its columns are equalized.
    private mutating func addHead() throws(ConversionError) {
        let textRows = configuration.textRows, allRows = textRows + configuration.imageRows
        let head = try intake.take("to_logits.1.weight", [allRows, hidden])
        let norm = (weight: try intake.take("to_logits.0.weight", [hidden]), bias: try intake.take("to_logits.0.bias", [hidden]))
        let headType: WeightType = type == .int4 ? .int8 : type
        var factors: [Float]?
        if headType == .int8 {
            let sizes = ColumnEqualization.sizes(normWeight: norm.weight, normBias: norm.bias)
            factors = ColumnEqualization.factors(head, .half) { sizes[$0] }
        }
        let inverse = factors?.map { 1 / $0 }
        for (name, vector) in [("to_logits.0.weight", norm.weight), ("to_logits.0.bias", norm.bias)] {
            tensors.append(StoredTensor(name, .vectors, Scaled(source: vector.asRow(), columnFactors: inverse), .f32, shape: [hidden]))
        }
        let bias = try intake.take("to_logits.1.bias", [allRows])
        for (name, rows) in [(FileSchema.textHead, 0..<textRows), (FileSchema.imageHead, textRows..<allRows)] {
            tensors.append(
                StoredTensor("\(name).weight", .head, Scaled(source: head.rows(rows), columnFactors: factors), .packed(headType)))
            tensors.append(StoredTensor(vector: "\(name).bias", bias.rows(rows)))
        }
    }

    private mutating func addVectors(_ name: String, feeds matrix: LayerInput? = nil) throws(ConversionError) {
        for part in ["\(name).weight", "\(name).bias"] {
            var vector = StoredTensor(vector: part, try intake.take(part, [hidden]))
            vector.feeds = matrix.map { ($0, 0) }
            tensors.append(vector)
        }
    }

    private mutating func addLinear(
        _ name: String, _ kind: TensorClass, _ input: LayerInput, rows: Int, columns: Int, feeds: (matrix: LayerInput, from: Int)? = nil
    ) throws(ConversionError) {
        var matrix = StoredTensor("\(name).weight", kind, try intake.take("\(name).weight", [rows, columns]), .packed(type))
        matrix.input = input
        matrix.feeds = feeds
        var bias = StoredTensor(vector: "\(name).bias", try intake.take("\(name).bias", [rows]))
        bias.feeds = feeds
        tensors += [matrix, bias]
    }
}
