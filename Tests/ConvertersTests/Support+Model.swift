import Converters
import Foundation
import Rudolph

/// A model of random weights, small enough to convert in each test, as files of a folder.
struct SmallModel {
    var configuration: ModelConfiguration
    var transformer = StateDictionary()
    var images = StateDictionary()
    var tokenizer = SmallModel.tokenizer

    static let tokenizer = """
        5 3
        9601 4
        1072 5
        1073 6
        1074 7
        1075 8
        5 6 9
        4 5 10
        10 9 11
        1 0 2 3

        """

    static let json = """
        {"model_params": {"num_layers": 3, "hidden_size": 48, "num_attention_heads": 3, "l_text_seq_length": 5, "r_text_seq_length": 7,
         "image_tokens_per_dim": 4, "kernel_size": 3, "last_kernel_size": 5, "vocab_size": 17, "image_vocab_size": 20,
         "text_special_tokens": 6, "image_special_tokens": 2}, "name": "small"}
        """

    init(json: String = Self.json) throws {
        let folder = try TemporaryFolder()
        configuration = try ModelConfiguration(file: try folder.write("config.json", json))
        var generator = Generator(state: 42)
        func add(_ state: inout StateDictionary, _ name: String, _ shape: [Int]) {
            state[name] = (shape, .floats(generator.normals(shape.reduce(1, *), deviation: 0.1)))
        }
        let hidden = configuration.hiddenSize, rows = configuration.textRows + configuration.imageRows
        for (name, count) in [
            ("text", configuration.textRows), ("image", configuration.imageRows), ("l_text_pos", configuration.leftTextLength + 1),
            ("r_text_pos", configuration.rightTextLength + 1), ("image_row", configuration.imageTokensPerSide),
            ("image_col", configuration.imageTokensPerSide),
        ] {
            add(&transformer, "\(name)_embeddings.weight", [count, hidden])
        }
        var norms = ["to_logits.0", "transformer.final_layernorm"]
        var linears = [("to_logits.1", rows, hidden)]
        for layer in 0..<configuration.layers {
            let name = "transformer.layers.\(layer)."
            norms += ["input", "post_attention", "before_first_addition", "before_second_addition"].map { name + $0 + "_layernorm" }
            linears += [
                (name + "attention.query_key_value", 3 * hidden, hidden), (name + "attention.dense", hidden, hidden),
                (name + "mlp.dense_h_to_4h", 4 * hidden, hidden), (name + "mlp.dense_4h_to_h", hidden, 4 * hidden),
            ]
        }
        for name in norms { for part in ["weight", "bias"] { add(&transformer, "\(name).\(part)", [hidden]) } }
        for (name, rows, columns) in linears {
            add(&transformer, "\(name).weight", [rows, columns])
            add(&transformer, "\(name).bias", [rows])
        }
        let length = configuration.sequenceLength
        for mask in MaskBuffer.allCases {
            var visible: [Bool] = []
            for query in 0..<length { for key in 0..<length { visible.append(mask.allows(query: query, key: key, in: configuration)) } }
            transformer[mask.name] = ([length, length], .mask(visible))
        }

        let shape = ImageTokenizerConfiguration(
            channels: 32, channelMultipliers: [1, 2], residualBlocks: 1, zChannels: 24, embeddingSize: 24, codes: 20, outputChannels: 3,
            attentionLevels: [1])
        for (name, shape) in shape.tensors { add(&images, name, shape) }
        images["loss.discriminator.main.0.weight"] = ([2], .floats([1, 2]))
    }

    /// Writes the inputs into `folder` and returns their conversion.
    func conversion(
        _ folder: TemporaryFolder, _ type: WeightType = .int4, prefix: String = "", calibrated: Bool = false, strict: Bool = false
    ) throws -> Conversion {
        Conversion(
            transformer: try folder.write("pytorch_model.bin", transformer.zip(prefix: prefix)),
            imageTokenizer: try folder.write("vqgan.ckpt", images.zip()), textTokenizer: try folder.write("bpe.model", tokenizer),
            configuration: configuration, type: type, isCalibrated: calibrated, threads: 2, isStrict: strict)
    }
}

extension MaskBuffer {
    /// Whether position `query` sees position `key`, as the reference fills its matrices; a test compares this with some of them.
    func allows(query: Int, key: Int, in model: ModelConfiguration) -> Bool {
        guard key <= query else { return false }
        let first = model.leftTextLength, side = model.imageTokensPerSide
        let image = first..<first + side * side
        guard image.contains(query), image.contains(key) else { return true }
        let distance = query - key
        switch self {
        case .row: return distance <= side
        case .column: return distance % side == 0
        case .convolution, .lastConvolution:
            let reach = (self == .convolution ? model.kernelSize : model.lastKernelSize) / 2
            let (queryRow, queryColumn) = (query - first).quotientAndRemainder(dividingBy: side)
            let (keyRow, keyColumn) = (key - first).quotientAndRemainder(dividingBy: side)
            return abs(queryRow - keyRow) <= reach && abs(queryColumn - keyColumn) <= reach
        }
    }
}
