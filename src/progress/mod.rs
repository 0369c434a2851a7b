//! One partition: admitted, settled, watermark, epoch.
