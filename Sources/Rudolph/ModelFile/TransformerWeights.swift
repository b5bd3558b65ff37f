import CKernels

/// The weights of one layer, where they lie in the mapped file.
struct LayerWeights {
    let mask: Mask
    let inputNorm, postAttentionNorm, firstAdditionNorm, secondAdditionNorm: rk_layer_norm
    let queryKeyValue, dense, up, down: Linear
}

struct TransformerWeights {
    let textEmbeddings, imageEmbeddings: EmbeddingTable
    let leftPositions, rightPositions, imageRows, imageColumns: UnsafePointer<Float>
    let layers: [LayerWeights]
    let finalNorm, headNorm: rk_layer_norm
    let textHead, imageHead: Linear

    init(_ binder: TensorBinder, _ configuration: Configuration) throws(RudolphError) {
        let h = configuration.hiddenSize
        textEmbeddings = try binder.table("text_embeddings", rows: configuration.textRows, columns: h)
        imageEmbeddings = try binder.table("image_embeddings", rows: configuration.imageRows, columns: h)
        leftPositions = try binder.floats("l_text_pos_embeddings.weight", count: (configuration.leftTextLength + 1) * h)
        rightPositions = try binder.floats("r_text_pos_embeddings.weight", count: (configuration.rightTextLength + 1) * h)
        imageRows = try binder.floats("image_row_embeddings.weight", count: configuration.imageTokensPerSide * h)
        imageColumns = try binder.floats("image_col_embeddings.weight", count: configuration.imageTokensPerSide * h)
        var layers: [LayerWeights] = []
        layers.reserveCapacity(configuration.layers)
        for index in 0..<configuration.layers {
            let name = "transformer.layers.\(index)."
            layers.append(
                LayerWeights(
                    mask: configuration.mask(layer: index),
                    inputNorm: try binder.layerNorm(name + "input_layernorm", size: h),
                    postAttentionNorm: try binder.layerNorm(name + "post_attention_layernorm", size: h),
                    firstAdditionNorm: try binder.layerNorm(name + "before_first_addition_layernorm", size: h),
                    secondAdditionNorm: try binder.layerNorm(name + "before_second_addition_layernorm", size: h),
                    queryKeyValue: try binder.linear(name + "attention.query_key_value", rows: 3 * h, columns: h),
                    dense: try binder.linear(name + "attention.dense", rows: h, columns: h),
                    up: try binder.linear(name + "mlp.dense_h_to_4h", rows: 4 * h, columns: h),
                    down: try binder.linear(name + "mlp.dense_4h_to_h", rows: h, columns: 4 * h)))
        }
        self.layers = layers
        finalNorm = try binder.layerNorm("transformer.final_layernorm", size: h)
        headNorm = try binder.layerNorm("to_logits.0", size: h)
        textHead = try binder.linear(FileSchema.textHead, rows: configuration.textRows, columns: h)
        imageHead = try binder.linear(FileSchema.imageHead, rows: configuration.imageRows, columns: h)
    }
}
