"""Knowledge distillation: student networks, their losses, and the joint fine-tuning of both students."""
